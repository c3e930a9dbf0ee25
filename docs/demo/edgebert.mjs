// Text to labels with a portable .onnx of `edgebert export --portable`, in browsers and in Node.
//
// The file is all there is: its metadata hold tokenizer, labels and limits, its graph begins at the
// tokens' bytes. The tokenizer is edgebert's C code as WebAssembly (tokenizer.c).

const toUtf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

/** A tokenizer section, opened by the C library. */
export class Tokenizer {
  #library;
  #text = { at: 0, capacity: 0 };

  /**
   * @param {BufferSource} wasm tokenizer.wasm
   * @param {Uint8Array} section the tokenizer section of a model
   * @param {number} maxTokens most tokens of a sequence, [CLS] and [SEP] included
   */
  static async open(wasm, section, maxTokens) {
    const { instance } = await WebAssembly.instantiate(wasm);
    return new Tokenizer(instance.exports, section, maxTokens);
  }

  constructor(library, section, maxTokens) {
    this.#library = library;
    const at = this.#allocate(section.length);
    new Uint8Array(library.memory.buffer, at).set(section);
    if (library.open_tokenizer(at, section.length, maxTokens) !== 0) {
      throw new Error("the tokenizer of this file is damaged");
    }
  }

  /**
   * [CLS] text [SEP], cut to the most tokens.
   *
   * @returns {{tokens: Uint8Array[], dropped: number}} UTF-8, and how many tokens were cut off
   */
  sequence(text) {
    const { memory, tokenize } = this.#library;
    const source = toUtf8.encode(text);
    if (source.length > this.#text.capacity) {
      const capacity = 2 * source.length;
      this.#text = { at: this.#allocate(capacity), capacity };
    }
    new Uint8Array(memory.buffer, this.#text.at).set(source);
    const result = tokenize(this.#text.at, source.length);
    const [bytesAt, endsAt, count, dropped] = new Uint32Array(memory.buffer, result, 4);
    const ends = new Uint32Array(memory.buffer, endsAt, count);
    const bytes = new Uint8Array(memory.buffer, bytesAt);
    const tokens = Array.from(ends, (end, i) => bytes.slice(i && ends[i - 1], end));
    return { tokens, dropped };
  }

  #allocate(size) {
    const at = this.#library.allocate(size);
    if (!at) throw new Error("out of memory");
    return at;
  }
}

/** A model, ready to classify. */
export class Classifier {
  #ort;
  #session;
  #tokenizer;

  /**
   * @param {object} ort onnxruntime-web, or another package with its interface
   * @param {Uint8Array} model a portable .onnx
   * @param {BufferSource} wasm tokenizer.wasm
   */
  static async open(ort, model, wasm) {
    const metadata = readMetadata(model);
    if (!metadata["edgebert.config"]) throw new Error("this file was not written by edgebert");
    const config = JSON.parse(metadata["edgebert.config"]);
    const section = decodeBase85(metadata["edgebert.tokenizer"]);
    const tokenizer = await Tokenizer.open(wasm, section, config.max_position_embeddings);
    const session = await ort.InferenceSession.create(model);
    if (!session.inputNames.includes("token_bytes")) {
      throw new Error("this graph does not begin at bytes: edgebert export --to onnx --portable");
    }
    return new Classifier(ort, session, tokenizer, config);
  }

  constructor(ort, session, tokenizer, config) {
    this.#ort = ort;
    this.#session = session;
    this.#tokenizer = tokenizer;
    this.config = config;
  }

  /**
   * @param {string} text
   * @returns {Promise<object>} tokens (strings, [CLS] and [SEP] included), dropped (tokens cut off),
   *   values (each label's probability; of a regression the number), and the milliseconds that
   *   tokenizer and graph took
   */
  async classify(text) {
    const start = performance.now();
    const { tokens, dropped } = this.#tokenizer.sequence(text);
    const middle = performance.now();
    const { logits } = await this.#session.run(this.#feeds(tokens));
    const end = performance.now();
    const isRegression = this.config.task === "regression";
    const values = isRegression ? Array.from(logits.data) : softmax(Array.from(logits.data));
    return {
      tokens: tokens.map((token) => fromUtf8.decode(token)),
      dropped,
      values: Object.fromEntries(this.config.labels.map((label, i) => [label, values[i]])),
      tokenizerMs: middle - start,
      graphMs: end - middle,
    };
  }

  #feeds(tokens) {
    const longest = Math.max(...tokens.map((token) => token.length));
    const bytes = new Uint8Array(tokens.length * longest);
    tokens.forEach((token, i) => bytes.set(token, i * longest));
    const tensor = (type, values, ...shape) => new this.#ort.Tensor(type, values, [1, ...shape]);
    const count = tokens.length;
    return {
      token_bytes: tensor("uint8", bytes, count, longest),
      token_lengths: tensor("int32", Int32Array.from(tokens, (token) => token.length), count),
      attention_mask: tensor("int64", new BigInt64Array(count).fill(1n), count),
      token_type_ids: tensor("int64", new BigInt64Array(count), count),
    };
  }
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - highest));
  const total = powers.reduce((sum, power) => sum + power);
  return powers.map((power) => power / total);
}

const METADATA_FIELD = 14; // of ONNX's ModelProto: metadata_props, pairs of key (1) and value (2)

/** The metadata of an .onnx file, an object of strings. */
export function readMetadata(model) {
  const metadata = {};
  for (const [field, entry] of protobufFields(model)) {
    if (field !== METADATA_FIELD) continue;
    const pair = Object.fromEntries(protobufFields(entry));
    metadata[fromUtf8.decode(pair[1])] = fromUtf8.decode(pair[2]);
  }
  return metadata;
}

/** The fields of a protobuf message: pairs of field number and bytes, or number. */
function* protobufFields(message) {
  let at = 0;
  const varint = () => {
    for (let value = 0, unit = 1; at < message.length; unit *= 128) {
      const byte = message[at++];
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
    throw new Error("not an .onnx file, or damaged");
  };
  while (at < message.length) {
    const tag = varint();
    const [field, wireType] = [Math.floor(tag / 8), tag % 8];
    if (wireType === 0) {
      yield [field, varint()];
      continue;
    }
    const size = wireType === 2 ? varint() : { 1: 8, 5: 4 }[wireType];
    if (size === undefined || at + size > message.length) {
      throw new Error("not an .onnx file, or damaged");
    }
    yield [field, message.subarray(at, at + size)];
    at += size;
  }
}

const BASE85 =
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/** Bytes of a text of Python's base64.b85encode: five digits are four bytes, a rest is cut. */
function decodeBase85(text) {
  const digits = new Map(Array.from(BASE85, (character, i) => [character, i]));
  const padded = text.padEnd(Math.ceil(text.length / 5) * 5, "~");
  const bytes = new DataView(new ArrayBuffer((padded.length / 5) * 4));
  for (let at = 0; at < padded.length; at += 5) {
    let value = 0;
    for (const character of padded.slice(at, at + 5)) value = value * 85 + digits.get(character);
    bytes.setUint32((at / 5) * 4, value);
  }
  return new Uint8Array(bytes.buffer, 0, bytes.byteLength - (padded.length - text.length));
}
