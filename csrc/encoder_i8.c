/* The encoder in integers alone; docs/numerics.md defines every step. Keys and values of a layer
 * are computed for all tokens; then everything else for a few tokens at a time, in little memory.
 */
#include "encoder.h"
#include "hash.h"
#include "kernels/i8.h"
#include "model.h"
#include "tanh_table.h"

#include <string.h>

#define ROWS 8 /* tokens at a time */

/* Where the parts of the scratch memory lie. */
typedef struct parts {
    int8_t *keys;   /* each head's, as a matrix of weights: [n / 16][d / 4][16][4] */
    int8_t *values; /* each head's, as a matrix of weights: [d / 16][n / 4][16][4] */
    int32_t *sums;  /* [ROWS, widest]: what a matrix product gives */
    int32_t *row;   /* [hidden_size] */
    int8_t *narrow; /* [ROWS, hidden_size]: inputs of matrix products */
    int8_t *wide;   /* [ROWS, widest]: queries, softmax, intermediate */
    int8_t *block;  /* [longest in, 16]: four-bit weights unpacked */
} parts;

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* The longest row of a matrix product: queries, keys and values, scores or intermediate. */
static uint64_t widest(const eb_config *config, uint64_t n) {
    const uint64_t labels = EB_ROUND_UP((uint64_t)config->num_labels);
    return most(most(2 * (uint64_t)config->hidden_size, labels),
                most(EB_ROUND_UP(n), config->intermediate_size));
}

/* Bytes for a block of four-bit weights, 0 for int8 models. */
static uint64_t block_size(const eb_config *config) {
    return config->dtype == EB_DTYPE_I4
               ? EB_BLOCK * most(config->hidden_size, config->intermediate_size)
               : 0;
}

static uint64_t scratch_size(const eb_config *config, uint64_t n) {
    const uint64_t h = config->hidden_size, w = widest(config, n);
    return 2 * h * EB_ROUND_UP(n) + ROWS * w * sizeof(int32_t) + h * sizeof(int32_t) + ROWS * h +
           ROWS * w + block_size(config);
}

static parts lay_out(const eb_config *config, size_t n, void *scratch) {
    const size_t h = config->hidden_size, w = (size_t)widest(config, n);
    parts p;
    p.sums = scratch;
    p.row = p.sums + ROWS * w;
    p.keys = (int8_t *)(p.row + h);
    p.values = p.keys + h * EB_ROUND_UP(n);
    p.narrow = p.values + h * EB_ROUND_UP(n);
    p.wide = p.narrow + ROWS * h;
    p.block = p.wide + ROWS * w;
    return p;
}

static void embed(const eb_hash *hash, const uint8_t *token, size_t token_size, void *row) {
    eb_hash_embed_i16(hash, token, token_size, row);
}

static void add_positions(const eb_model *model, const uint8_t *types, size_t n, int16_t *x,
                          int32_t *row) {
    const size_t h = eb_model_config(model)->hidden_size;
    const int8_t *positions = eb_tensor_of(model, 0, EB_POSITION_EMBEDDINGS);
    const int16_t *type_rows = eb_tensor_of(model, 0, EB_TOKEN_TYPE_EMBEDDINGS);
    const eb_model_scales *scales = eb_tensor_of(model, 0, EB_MODEL_SCALES);
    for (size_t i = 0; i < n; i++, x += h, positions += h) {
        const int16_t *type = type_rows + types[i] * h;
        for (size_t c = 0; c < h; c++)
            row[c] = x[c] + ((positions[c] * scales->position_multiplier + 8) >> 4) + type[c];
        model->kernels->layer_norm_i16(row, h, eb_tensor_of(model, 0, EB_EMBEDDINGS_NORM_WEIGHT),
                                       eb_tensor_of(model, 0, EB_EMBEDDINGS_NORM_BIAS),
                                       &scales->embeddings_norm, x);
    }
}

/* Stores a token's key and value, h columns each, in the layout of weights. */
static void store_key_value(const parts *p, const int8_t *key_value, size_t i, size_t n, size_t h,
                            size_t d) {
    const size_t columns = EB_ROUND_UP(n);
    for (size_t c = 0; c < h; c += EB_BLOCK) {
        const size_t head = c / d * d * columns, at = c % d;
        int8_t *keys = p->keys + head + (i / EB_BLOCK * d + at) * EB_BLOCK + i % EB_BLOCK * 4;
        int8_t *values = p->values + head + at * columns + i / 4 * 4 * EB_BLOCK + i % 4;
        for (size_t j = 0; j < EB_BLOCK; j++) {
            keys[j / 4 * 4 * EB_BLOCK + j % 4] = key_value[c + j];
            values[j * 4] = key_value[h + c + j];
        }
    }
}

#define W(role) eb_tensor_of(model, layer, EB_##role)

/* sums[rows, 16 blocks] = x[rows, in] times some blocks of a matrix. */
static void product(const eb_model *model, const parts *p, const int8_t *x, size_t rows, size_t in,
                    const void *matrix, size_t first_block, size_t blocks) {
    const eb_kernels *k = model->kernels;
    if (eb_model_config(model)->dtype == EB_DTYPE_I8) {
        const int8_t *weights = (const int8_t *)matrix + first_block * in * EB_BLOCK;
        k->gemm_i8(x, in, rows, in, weights, blocks, p->sums, blocks * EB_BLOCK);
        return;
    }
    const size_t size = EB_I4_SIZE(in, EB_BLOCK);
    const uint8_t *packed = (const uint8_t *)matrix + first_block * size;
    for (size_t b = 0; b < blocks; b++) {
        k->unpack_i4(packed + b * size, in, p->block);
        k->gemm_i8(x, in, rows, in, p->block, 1, p->sums + b * EB_BLOCK, blocks * EB_BLOCK);
    }
}

static void keys_and_values(const eb_model *model, size_t layer, size_t n, const int16_t *x,
                            const parts *p) {
    const eb_kernels *k = model->kernels;
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size, d = h / config->num_attention_heads;
    const eb_layer_scales *scales = W(LAYER_SCALES);
    const int32_t *bias = W(QKV_BIAS), *multiplier = W(QKV_MULTIPLIER);
    memset(p->keys, 0, 2 * h * EB_ROUND_UP(n)); /* the values too, behind them */
    for (size_t i = 0; i < n; i += ROWS) {
        const size_t rows = n - i < ROWS ? n - i : ROWS;
        k->narrow_i16(x + i * h, rows * h, p->narrow);
        product(model, p, p->narrow, rows, h, W(QKV_WEIGHT), h / EB_BLOCK, 2 * h / EB_BLOCK);
        for (size_t r = 0; r < rows; r++) {
            k->requantise_i8(p->sums + r * 2 * h, bias + h, multiplier + h, scales->qkv_shift,
                             2 * h, -127, p->wide);
            store_key_value(p, p->wide, i + r, n, h, d);
        }
    }
}

/* narrow[rows, h] = the heads' contexts of the queries in narrow. */
static void attend(const eb_model *model, const eb_layer_scales *scales, size_t n, size_t rows,
                   const parts *p) {
    const eb_kernels *k = model->kernels;
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size, d = h / config->num_attention_heads;
    const size_t columns = EB_ROUND_UP(n);
    for (size_t c = 0; c < h; c += d) {
        int32_t sums[ROWS];
        k->gemm_i8(p->narrow + c, h, rows, d, p->keys + c * columns, columns / EB_BLOCK, p->sums,
                   columns);
        for (size_t r = 0; r < rows; r++)
            sums[r] = k->softmax_i8(p->sums + r * columns, n, columns, scales->softmax_multiplier,
                                    scales->softmax_shift, p->wide + r * columns);
        k->gemm_i8(p->wide, columns, rows, columns, p->values + c * columns, d / EB_BLOCK, p->sums,
                   d);
        for (size_t r = 0; r < rows; r++) {
            const int64_t scaled = (int64_t)scales->context_multiplier << 7;
            k->scale_i8(p->sums + r * d, (int32_t)(scaled / sums[r]), scales->context_shift, d,
                        p->narrow + r * h + c);
        }
    }
}

static void encode_layer(const eb_model *model, size_t layer, size_t n, int16_t *x,
                         const parts *p) {
    const eb_kernels *k = model->kernels;
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size, inner = config->intermediate_size;
    const eb_layer_scales *scales = W(LAYER_SCALES);
    const int8_t *table = W(GELU_TABLE);
    keys_and_values(model, layer, n, x, p);
    for (size_t i = 0; i < n; i += ROWS, x += ROWS * h) {
        const size_t rows = n - i < ROWS ? n - i : ROWS;
        k->narrow_i16(x, rows * h, p->narrow);
        product(model, p, p->narrow, rows, h, W(QKV_WEIGHT), 0, h / EB_BLOCK);
        for (size_t r = 0; r < rows; r++)
            k->requantise_i8(p->sums + r * h, W(QKV_BIAS), W(QKV_MULTIPLIER), scales->qkv_shift, h,
                             -127, p->narrow + r * h);
        attend(model, scales, n, rows, p);

        product(model, p, p->narrow, rows, h, W(ATTENTION_OUTPUT_WEIGHT), 0, h / EB_BLOCK);
        for (size_t r = 0; r < rows; r++) {
            k->requantise_add(p->sums + r * h, W(ATTENTION_OUTPUT_BIAS),
                              W(ATTENTION_OUTPUT_MULTIPLIER), scales->attention_output_shift,
                              x + r * h, h, p->row);
            k->layer_norm_i16(p->row, h, W(ATTENTION_NORM_WEIGHT), W(ATTENTION_NORM_BIAS),
                              &scales->attention_norm, x + r * h);
        }

        k->narrow_i16(x, rows * h, p->narrow);
        product(model, p, p->narrow, rows, h, W(INTERMEDIATE_WEIGHT), 0, inner / EB_BLOCK);
        for (size_t r = 0; r < rows; r++) {
            int8_t *row = p->wide + r * inner;
            k->requantise_i8(p->sums + r * inner, W(INTERMEDIATE_BIAS), W(INTERMEDIATE_MULTIPLIER),
                             scales->intermediate_shift, inner, -128, row);
            for (size_t c = 0; c < inner; c++)
                row[c] = table[row[c] + 128];
        }
        product(model, p, p->wide, rows, inner, W(OUTPUT_WEIGHT), 0, h / EB_BLOCK);
        for (size_t r = 0; r < rows; r++) {
            k->requantise_add(p->sums + r * h, W(OUTPUT_BIAS), W(OUTPUT_MULTIPLIER),
                              scales->output_shift, x + r * h, h, p->row);
            k->layer_norm_i16(p->row, h, W(OUTPUT_NORM_WEIGHT), W(OUTPUT_NORM_BIAS),
                              &scales->output_norm, x + r * h);
        }
    }
}
#undef W

static void encode(const eb_model *model, const uint8_t *types, size_t n, void *x, void *scratch) {
    const parts p = lay_out(eb_model_config(model), n, scratch);
    add_positions(model, types, n, x, p.row);
    for (size_t layer = 0; layer < eb_model_config(model)->num_hidden_layers; layer++)
        encode_layer(model, layer, n, x, &p);
}

/* 2^11 tanh(x), x in units of 2^-12. */
static int32_t tanh_of(int32_t x) {
    const int16_t *table = eb_tanh_table;
    const int32_t at = (x + 32768) >> 8, rest = (x + 32768) & 255;
    return table[at] + (((table[at + 1] - table[at]) * rest + 128) >> 8);
}

/* The classifier's weights for 16 labels. It takes more than int8, and so no matrix product. */
static const int8_t *classifier_block(const eb_model *model, size_t b, int8_t *unpacked) {
    const size_t h = eb_model_config(model)->hidden_size;
    const uint8_t *weights = eb_tensor_of(model, 0, EB_CLASSIFIER_WEIGHT);
    if (eb_model_config(model)->dtype == EB_DTYPE_I8)
        return (const int8_t *)weights + b * h * EB_BLOCK;
    model->kernels->unpack_i4(weights + b * EB_I4_SIZE(h, EB_BLOCK), h, unpacked);
    return unpacked;
}

static void head(const eb_model *model, const void *x, float *logits, float *pooled,
                 void *scratch) {
    const eb_kernels *k = model->kernels;
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size;
    const eb_model_scales *scales = eb_tensor_of(model, 0, EB_MODEL_SCALES);
    const parts p = lay_out(config, 1, scratch);
    const int32_t *bias = eb_tensor_of(model, 0, EB_POOLER_BIAS);
    const int32_t *multipliers = eb_tensor_of(model, 0, EB_POOLER_MULTIPLIER);
    k->narrow_i16(x, h, p.narrow);
    product(model, &p, p.narrow, 1, h, eb_tensor_of(model, 0, EB_POOLER_WEIGHT), 0, h / EB_BLOCK);
    for (size_t c = 0; c < h; c++) {
        const int32_t sum =
            eb_requantise(eb_add(p.sums[c], bias[c]), multipliers[c], scales->pooler_shift);
        p.row[c] = tanh_of(eb_clip(sum, -32768, 32767));
        if (pooled)
            pooled[c] = (float)p.row[c] / 2048.0f;
    }

    bias = eb_tensor_of(model, 0, EB_CLASSIFIER_BIAS);
    multipliers = eb_tensor_of(model, 0, EB_CLASSIFIER_MULTIPLIER);
    const int8_t *block = NULL;
    for (size_t j = 0; j < config->num_labels; j++) {
        if (j % EB_BLOCK == 0)
            block = classifier_block(model, j / EB_BLOCK, p.block);
        int32_t sum = 0;
        for (size_t c = 0; c < h; c++)
            sum += p.row[c] * block[c / 4 * 4 * EB_BLOCK + j % EB_BLOCK * 4 + c % 4];
        const int32_t logit =
            eb_requantise(eb_add(sum, bias[j]), multipliers[j], scales->classifier_shift);
        logits[j] = (float)logit / 65536.0f; /* exact but for what a float cannot hold */
    }
}

const eb_encoder eb_encoder_i8 = {sizeof(int16_t), scratch_size, embed, encode, head};
