// The page: shows what edgebert.mjs answers to the text, while it is typed.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { Classifier } from "./edgebert.mjs";

const MOST_BARS = 5;

const element = (id) => document.getElementById(id);
const text = element("text");
let classifier = null;
let isRunning = false;

ort.env.wasm.numThreads = 1; // more need a server that isolates the page, and a text is soon done

async function fetchBytes(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function openModel(model) {
  const opened = await Classifier.open(ort, model, await fetchBytes("tokenizer.wasm"));
  await opened.classify(""); // the first run is slow
  classifier = opened;
  element("size").textContent = `${(model.length / 1e6).toFixed(2)} MB`;
  await update();
}

/** Classifies until neither text nor model change any more: a session does one text at a time. */
async function update() {
  if (isRunning || !classifier) return;
  isRunning = true;
  try {
    for (let shown, model; shown !== text.value || model !== classifier; ) {
      [shown, model] = [text.value, classifier];
      show(shown, model.config, await model.classify(shown));
    }
  } finally {
    isRunning = false;
  }
}

function show(shown, config, result) {
  const { tokens, dropped, values } = result;
  element("status").textContent = element("status").className = "";
  element("bars").replaceChildren(...bars(values, config.task === "regression"));
  element("tokens").replaceChildren(...tokens.map(chip));
  element("count").textContent =
    `${tokens.length} tokens` +
    (dropped ? `; ${dropped} more were cut off` : ` of at most ${config.max_position_embeddings}`);
  element("tokenizer-time").textContent = milliseconds(result.tokenizerMs);
  element("graph-time").textContent = milliseconds(result.graphMs);
  element("bars").dataset.text = shown;
}

function milliseconds(time) {
  return time < 0.1 ? "< 0.1 ms" : `${time.toFixed(1)} ms`; // browsers' clocks are coarse
}

function bars(values, isRegression) {
  const sorted = Object.entries(values).sort((a, b) => b[1] - a[1]);
  return sorted.slice(0, MOST_BARS).map(([label, value]) => {
    const row = document.createElement("li");
    const [track, number] = ["i", "output"].map((name) => document.createElement(name));
    row.append(label, track, number);
    number.textContent = isRegression ? value.toFixed(3) : `${(100 * value).toFixed(1)} %`;
    number.dataset.value = value;
    if (!isRegression) {
      track.append(document.createElement("b"));
      track.firstChild.style.width = `${100 * value}%`;
    }
    return row;
  });
}

function chip(token) {
  const item = document.createElement("li");
  item.textContent = token;
  if (/^\[[A-Z]+\]$/.test(token)) item.className = "special";
  if (/^##./.test(token)) item.className = "piece";
  return item;
}

/** Runs what may fail, and says so on the page. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    element("status").className = "error";
    element("status").textContent = error.message;
  }
}

text.addEventListener("input", () => attempt(update));
element("examples").addEventListener("click", (event) => {
  if (event.target.tagName !== "BUTTON") return;
  text.value = event.target.textContent;
  attempt(update);
});
element("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) attempt(async () => openModel(new Uint8Array(await file.arrayBuffer())));
});
attempt(async () => openModel(await fetchBytes("model.onnx")));
