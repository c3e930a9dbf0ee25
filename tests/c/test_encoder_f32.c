/* The float32 encoder and its heads, of every set, against a BERT of plain loops in double: models
 * of random weights and odd shapes, which are made here, in memory of exactly their size. */
#include "allocate.h"
#include "check.h"
#include "format.h"
#include "kernels/kernels.h"

#include <math.h>

#define MOST_BYTES (1 << 20)
#define MOST_TOKENS 24
#define EPSILON 1e-3f

typedef struct model_file {
    uint8_t *bytes;
    uint32_t size;
} model_file;

static uint32_t random_state = 1;

static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1.0f;
}

/* Room for a part of a file, aligned. */
static eb_span append(model_file *file, uint32_t size) {
    file->size = (file->size + EB_ALIGNMENT - 1) / EB_ALIGNMENT * EB_ALIGNMENT;
    const eb_span span = {file->size, size};
    file->size += size;
    if (file->size > MOST_BYTES)
        abort();
    return span;
}

/* Names that are good for labels and tags: O, B-a, I-a, B-b, I-b, ... */
static eb_span append_names(model_file *file, uint32_t count) {
    const eb_span list = append(file, count * (uint32_t)sizeof(eb_span));
    for (uint32_t i = 0; i < count; i++) {
        const eb_span name = append(file, i ? 3 : 1);
        const char text[] = {i % 2 ? 'B' : i ? 'I' : 'O', '-', (char)('a' + (i - 1) / 2)};
        memcpy(file->bytes + name.offset, text, name.size);
        memcpy(file->bytes + list.offset + i * sizeof name, &name, sizeof name);
    }
    return list;
}

/* Weights around 0 so small that sums stay near 1, as in a trained model. */
static void fill(uint8_t *bytes, const eb_tensor *tensor) {
    const float width = tensor->rows > 1 ? 1.5f / sqrtf((float)tensor->rows) : 0.5f;
    for (uint32_t i = 0; i < tensor->data.size; i++)
        if (tensor->dtype == EB_DTYPE_I8) {
            bytes[i] = (uint8_t)(int)(random_float() * 16.0f);
        } else if (i % 4 == 0) {
            const float value = random_float() * width;
            memcpy(bytes + i, &value, sizeof value);
        }
}

/* f32's roles stand in the order of their numbers; those of layers once for each layer. */
static eb_span append_tensors(model_file *file, const eb_config *config) {
    enum { MOST_TENSORS = 64 };
    eb_tensor tensors[MOST_TENSORS];
    uint32_t count = 0;
    const uint32_t ends[] = {EB_QKV_WEIGHT, EB_POOLER_WEIGHT, EB_NUM_ROLES};
    for (uint32_t part = 0, role = 0; part < 3; role = ends[part++])
        for (uint32_t layer = 0; layer < (part == 1 ? config->num_hidden_layers : 1); layer++)
            for (uint32_t r = role; r < ends[part]; r++) {
                eb_tensor *tensor = &tensors[count];
                if (eb_tensor_of_role(config, r, tensor) != EB_OK)
                    continue;
                tensor->layer = (uint16_t)layer;
                tensor->data = append(file, tensor->data.size);
                fill(file->bytes + tensor->data.offset, tensor);
                if (++count == MOST_TENSORS)
                    abort();
            }
    const eb_span directory = append(file, count * (uint32_t)sizeof *tensors);
    memcpy(file->bytes + directory.offset, tensors, directory.size);
    return directory;
}

static model_file make_model(const eb_config *config) {
    const eb_tokenizer_header word = {EB_TOKENIZER_WORD, 1, 0};
    model_file file = {allocate(MOST_BYTES), 0};
    eb_file_header header = {0};
    memset(file.bytes, 0, MOST_BYTES);
    append(&file, sizeof header);
    header.magic = EB_FILE_MAGIC;
    header.version = EB_FILE_VERSION;
    header.config = *config;
    header.hash = (eb_hash_params){EB_HASH_POLY, config->hidden_size, 3, 1000003, 257, 7, 1};
    header.tokenizer = append(&file, sizeof word);
    memcpy(file.bytes + header.tokenizer.offset, &word, sizeof word);
    header.labels = append_names(&file, config->num_labels);
    header.tags = append_names(&file, config->num_tags);
    header.tensors = append_tensors(&file, config);
    header.file_size = file.size;
    memcpy(file.bytes, &header, sizeof header);
    header.checksum = eb_file_checksum(file.bytes, file.size);
    memcpy(file.bytes, &header, sizeof header);
    uint8_t *whole = file.bytes;
    file.bytes = copy_of(whole, file.size);
    free(whole);
    return file;
}

static const float *tensor_of(const model_file *file, uint32_t layer, uint32_t role) {
    const eb_file_header *header = (const void *)file->bytes;
    const eb_tensor *tensor = (const void *)(file->bytes + header->tensors.offset);
    while (tensor->role != role || tensor->layer != layer)
        tensor++;
    return (const void *)(file->bytes + tensor->data.offset);
}

/* ---- BERT as the paper has it ---------------------------------------------------------------- */

static double *doubles(size_t count) {
    double *x = allocate(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = 0;
    return x;
}

/* y[n, out] = x[n, in] W + b; the bias has the role behind its matrix. */
static double *linear(const model_file *file, uint32_t layer, uint32_t role, const double *x,
                      size_t n, size_t in, size_t out) {
    const float *w = tensor_of(file, layer, role), *b = tensor_of(file, layer, role + 1);
    double *y = doubles(n * out);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < out; j++) {
            y[i * out + j] = (double)b[j];
            for (size_t c = 0; c < in; c++)
                y[i * out + j] +=
                    x[i * in + c] * (double)w[(j / EB_BLOCK * in + c) * EB_BLOCK + j % EB_BLOCK];
        }
    return y;
}

/* x = LayerNorm(x + y); y may be NULL, and is freed. */
static void add_and_norm(const model_file *file, uint32_t layer, uint32_t role, double *x,
                         double *y, size_t n, size_t h) {
    const float *weight = tensor_of(file, layer, role), *bias = tensor_of(file, layer, role + 1);
    for (size_t i = 0; i < n; i++) {
        double *row = x + i * h, mean = 0, variance = 0;
        for (size_t c = 0; c < h; c++) {
            row[c] += y ? y[i * h + c] : 0;
            mean += row[c] / (double)h;
        }
        for (size_t c = 0; c < h; c++)
            variance += (row[c] - mean) * (row[c] - mean) / (double)h;
        for (size_t c = 0; c < h; c++)
            row[c] = (row[c] - mean) / sqrt(variance + (double)EPSILON) * (double)weight[c] +
                     (double)bias[c];
    }
    free(y);
}

/* What the queries make of keys and values, which stand side by side in qkv[n, 3 h]. */
static double *attend(const double *qkv, size_t n, size_t h, size_t heads) {
    const size_t d = h / heads;
    double *context = doubles(n * h);
    for (size_t i = 0; i < n; i++)
        for (size_t first = 0; first < h; first += d) {
            double sum = 0, *out = context + i * h + first;
            for (size_t j = 0; j < n; j++) {
                const double *key = qkv + (3 * j + 1) * h + first;
                double score = 0;
                for (size_t c = 0; c < d; c++)
                    score += qkv[3 * i * h + first + c] * key[c];
                score = exp(score / sqrt((double)d));
                sum += score;
                for (size_t c = 0; c < d; c++)
                    out[c] += score * key[h + c];
            }
            for (size_t c = 0; c < d; c++)
                out[c] /= sum;
        }
    return context;
}

/* The last hidden states of tokens from the first ones, x. */
static void encode(const model_file *file, const eb_config *config, double *x, size_t n) {
    const size_t h = config->hidden_size, inner = config->intermediate_size;
    for (uint32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        double *qkv = linear(file, layer, EB_QKV_WEIGHT, x, n, h, 3 * h);
        double *context = attend(qkv, n, h, config->num_attention_heads);
        double *y = linear(file, layer, EB_ATTENTION_OUTPUT_WEIGHT, context, n, h, h);
        add_and_norm(file, layer, EB_ATTENTION_NORM_WEIGHT, x, y, n, h);
        double *wide = linear(file, layer, EB_INTERMEDIATE_WEIGHT, x, n, h, inner);
        for (size_t i = 0; i < n * inner; i++)
            wide[i] *= 0.5 * erfc(-wide[i] / sqrt(2.0));
        y = linear(file, layer, EB_OUTPUT_WEIGHT, wide, n, inner, h);
        add_and_norm(file, layer, EB_OUTPUT_NORM_WEIGHT, x, y, n, h);
        free(qkv);
        free(context);
        free(wide);
    }
}

static double *embed(const model_file *file, const eb_model *model, const uint8_t *bytes,
                     const uint32_t *ends, const uint8_t *types, size_t n) {
    const size_t h = eb_model_config(model)->hidden_size;
    const float *positions = tensor_of(file, 0, EB_POSITION_EMBEDDINGS);
    const float *type = tensor_of(file, 0, EB_TOKEN_TYPE_EMBEDDINGS);
    float *hash = allocate(n * h * sizeof *hash);
    double *x = doubles(n * h);
    eb_hash_embed_many(eb_model_hash(model), bytes, ends, n, hash);
    for (size_t i = 0; i < n * h; i++)
        x[i] = (double)hash[i] + (double)positions[i] + (double)type[types[i / h] * h + i % h];
    free(hash);
    add_and_norm(file, 0, EB_EMBEDDINGS_NORM_WEIGHT, x, NULL, n, h);
    return x;
}

/* ---- comparison ------------------------------------------------------------------------------ */

static void compare(const eb_model *model, const char *what, size_t n, const float *x,
                    const double *expected, size_t count) {
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        const double error = fabs((double)x[i] - expected[i]);
        worst = error <= worst ? worst : error; /* a NaN is the worst */
    }
    CHECK(worst < 2e-5, "%s, hidden size %u, %zu tokens: %s differ by %g", eb_model_isa(model),
          (unsigned)eb_model_config(model)->hidden_size, n, what, worst);
}

/* The expected vector of the whole text, and its logits or NULL. */
static double *expected_pooled(const model_file *file, const eb_config *config, const double *x,
                               size_t n, double **logits) {
    const size_t h = config->hidden_size;
    double *pooled, squares = 0;
    *logits = NULL;
    if (config->num_labels) {
        pooled = linear(file, 0, EB_POOLER_WEIGHT, x, 1, h, h);
        for (size_t c = 0; c < h; c++)
            pooled[c] = tanh(pooled[c]);
        *logits = linear(file, 0, EB_CLASSIFIER_WEIGHT, pooled, 1, h, config->num_labels);
        return pooled;
    }
    pooled = doubles(h);
    for (size_t i = 0; i < n * h; i++)
        pooled[i % h] += x[i];
    for (size_t c = 0; c < h; c++)
        squares += pooled[c] * pooled[c];
    for (size_t c = 0; c < h; c++)
        pooled[c] /= sqrt(squares);
    return pooled;
}

static void compare_run(const model_file *file, const eb_model *model, size_t n) {
    static const uint8_t bytes[] = "[CLS] a text of any tokens whatever";
    const eb_config *config = eb_model_config(model);
    const size_t num_scores = n * config->num_tags;
    uint32_t ends[MOST_TOKENS];
    uint8_t types[MOST_TOKENS];
    for (uint32_t i = 0; i < n; i++) {
        ends[i] = 5 + i + i / 4;
        types[i] = (uint8_t)((i + 1) % config->type_vocab_size);
    }
    double *x = embed(file, model, bytes, ends, types, n), *logits;
    encode(file, config, x, n);
    double *pooled = expected_pooled(file, config, x, n, &logits);

    size_t arena_size = 0;
    CHECK(eb_arena_size(model, (uint32_t)n, &arena_size) == EB_OK, "arena");
    void *arena = allocate(arena_size);
    float *got_pooled = allocate(config->hidden_size * sizeof *got_pooled);
    float *got_logits = allocate(config->num_labels * sizeof *got_logits);
    int16_t *scores = allocate(num_scores * sizeof *scores);
    CHECK(eb_tag_tokens(model, bytes, ends, types, (uint32_t)n, arena, arena_size, got_logits,
                        got_pooled, scores) == EB_OK,
          "run");
    compare(model, "vectors", n, got_pooled, pooled, config->hidden_size);
    compare(model, "logits", n, got_logits, logits, config->num_labels);
    if (num_scores) {
        double *tags =
            linear(file, 0, EB_TAGGER_WEIGHT, x, n, config->hidden_size, config->num_tags);
        for (size_t i = 0; i < num_scores; i++)
            CHECK(fabs(scores[i] - tags[i] * 256.0) < 0.51, "%s: score %zu of tags is %d, not %g",
                  eb_model_isa(model), i, scores[i], tags[i] * 256.0);
        free(tags);
    }
    /* Without tags the last layer has the first token's state alone; nobody need want the vector.
     */
    CHECK(eb_classify_tokens(model, bytes, ends, types, (uint32_t)n, arena, arena_size, got_logits,
                             NULL) == EB_OK,
          "logits alone");
    compare(model, "logits alone", n, got_logits, logits, config->num_labels);
    free(scores);
    free(got_logits);
    free(got_pooled);
    free(arena);
    free(pooled);
    free(logits);
    free(x);
}

static void test_model(const eb_config *config) {
    const model_file file = make_model(config);
    size_t handle_size = 0;
    eb_model *model = NULL;
    CHECK(eb_model_size(file.bytes, file.size, &handle_size) == EB_OK, "size");
    void *handle = allocate(handle_size);
    CHECK(eb_model_open(file.bytes, file.size, handle, handle_size, &model) == EB_OK,
          "a model of hidden size %u", (unsigned)config->hidden_size);
    for (size_t i = 0; model && i < eb_kernels_count(); i++)
        for (size_t n = 1; eb_kernels_get(i) && n <= MOST_TOKENS; n += 1 + n / 3) {
            CHECK(eb_model_use_isa(model, eb_kernels_get(i)->name) == EB_OK, "use");
            compare_run(&file, model, n);
        }
    free(handle);
    free(file.bytes);
}

int main(void) {
    /* Of hidden size, layers, heads, inner size, positions, types, labels, tags; task. */
    static const uint32_t shapes[][9] = {
        {32, 1, 2, 48, 24, 2, 3, 0, EB_TASK_CLASSIFICATION},
        {16, 2, 1, 7, 30, 3, 17, 0, EB_TASK_CLASSIFICATION},
        {20, 2, 5, 33, 24, 1, 1, 0, EB_TASK_REGRESSION},
        {48, 2, 3, 16, 24, 2, 2, 5, EB_TASK_CLASSIFICATION},
        {9, 1, 3, 17, 24, 2, 0, 0, EB_TASK_EMBEDDING},
        {64, 2, 2, 40, 24, 2, 0, 0, EB_TASK_EMBEDDING},
        {34, 1, 2, 20, 24, 2, 0, 19, EB_TASK_TAGGING},
        {16, 3, 4, 64, 24, 2, 0, 1, EB_TASK_TAGGING},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const uint32_t *s = shapes[i];
        const eb_config config = {s[0],         s[1],   s[2], s[3], s[4],
                                  s[5],         s[6],   s[7], s[8], EB_ACTIVATION_GELU,
                                  EB_DTYPE_F32, EPSILON};
        test_model(&config);
    }
    return summary();
}
