/* The encoder in integers alone; docs/numerics.md defines every step. Keys and values of a layer
 * are computed for all tokens; then everything else for a few tokens at a time, in little memory.
 */
#include "encoder_i8.h"

#include "hash.h"
#include "kernels/i8.h"
#include "model.h"

#include <string.h>

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* Sums at a time; of rows of scores and contexts there are at least one. */
static uint64_t num_sums(const eb_config *config, uint64_t n) {
    return most(EB_ROWS * EB_COLUMNS, most(EB_ROUND_UP(n), config->hidden_size));
}

/* Scores at a time: they may take the rows too, which are behind the sums and free then. */
static uint64_t num_scores(const eb_config *config, uint64_t n) {
    return num_sums(config, n) + EB_ROWS * config->hidden_size / 2;
}

/* Queries at a time, whose scores and contexts have room. */
static size_t num_queries(const eb_config *config, uint64_t n) {
    const uint64_t fit = num_scores(config, n) / most(EB_ROUND_UP(n), config->hidden_size);
    return fit < EB_ROWS ? (size_t)fit : EB_ROWS;
}

/* The queries' softmax needs up to a byte for each score. What they need to the byte may be less
 * for more tokens, and a text may have fewer than its arena has room for. */
static uint64_t wide_size(const eb_config *config, uint64_t n) {
    const uint64_t widest = most(2 * (uint64_t)config->hidden_size, config->intermediate_size);
    const uint64_t scores = num_scores(config, n), all = EB_ROWS * EB_ROUND_UP(n);
    return most(EB_ROWS * widest, scores < all ? scores : all);
}

/* Bytes for a block of four-bit weights, 0 for int8 models. */
static uint64_t block_size(const eb_config *config) {
    return config->dtype == EB_DTYPE_I4
               ? EB_BLOCK * most(config->hidden_size, config->intermediate_size)
               : 0;
}

static uint64_t scratch_size(const eb_config *config, uint64_t n) {
    const uint64_t h = config->hidden_size;
    return num_sums(config, n) * sizeof(int32_t) + EB_ROWS * h * (sizeof(int16_t) + 1) +
           wide_size(config, n) + block_size(config) +
           most(2 * h * EB_ROUND_UP(n), n * config->num_tags * sizeof(int16_t));
}

eb_i8_parts eb_i8_lay_out(const eb_config *config, size_t n, void *scratch) {
    const size_t h = config->hidden_size;
    eb_i8_parts p;
    p.sums = scratch;
    p.rows = (int16_t *)(p.sums + num_sums(config, n));
    p.narrow = (int8_t *)(p.rows + EB_ROWS * h);
    p.wide = p.narrow + EB_ROWS * h;
    p.block = p.wide + wide_size(config, n);
    p.keys = p.block + block_size(config);
    p.values = p.keys + h * EB_ROUND_UP(n);
    return p;
}

static void embed(const eb_model *model, const uint8_t *token, size_t token_size, size_t position,
                  size_t type, void *x, void *scratch) {
    const size_t h = eb_model_config(model)->hidden_size;
    const eb_model_scales *scales = eb_tensor_of(model, 0, EB_MODEL_SCALES);
    const int8_t *positions = eb_tensor_of(model, 0, EB_POSITION_EMBEDDINGS);
    const int16_t *types = eb_tensor_of(model, 0, EB_TOKEN_TYPE_EMBEDDINGS);
    int16_t *row = scratch;
    int8_t *unpacked = (int8_t *)(row + h); /* of h, which is less than there are sums */
    if (eb_model_config(model)->dtype == EB_DTYPE_I4) {
        const size_t block = EB_I4_SIZE(h, EB_BLOCK);
        eb_unpack_i4_column((const uint8_t *)positions + position / EB_BLOCK * block, h,
                            position % EB_BLOCK, unpacked);
        positions = unpacked;
    } else {
        positions += position * h;
    }
    eb_hash_embed_i16(model->hash, token, token_size, row);
    model->kernels->add_embeddings(positions, scales->position_multiplier, types + type * h, h,
                                   row);
    model->kernels->layer_norm_i8(row, h, eb_tensor_of(model, 0, EB_EMBEDDINGS_NORM_WEIGHT),
                                  eb_tensor_of(model, 0, EB_EMBEDDINGS_NORM_BIAS),
                                  &scales->embeddings_norm, x);
}

/* A linear layer of a model. */
typedef struct linear {
    size_t in;
    const void *weights;
    eb_rescaling rescaling;
} linear;

#define W(role) eb_tensor_of(model, layer, EB_##role)
#define LINEAR(name, in, shift)                                                                    \
    {                                                                                              \
        in, W(name##_WEIGHT), {                                                                    \
            W(name##_BIAS), W(name##_MULTIPLIER), shift                                            \
        }                                                                                          \
    }

void eb_i8_product(const eb_model *model, const eb_i8_parts *p, const int8_t *x, size_t rows,
                   size_t in, const void *matrix, size_t first, size_t columns) {
    const eb_kernels *k = model->kernels;
    const size_t blocks = columns / EB_BLOCK;
    if (eb_model_config(model)->dtype == EB_DTYPE_I8) {
        k->gemm_i8(x, in, rows, in, (const int8_t *)matrix + first * in, blocks, p->sums, columns);
        return;
    }
    const size_t size = EB_I4_SIZE(in, EB_BLOCK);
    const uint8_t *packed = (const uint8_t *)matrix + first / EB_BLOCK * size;
    if (k->gemm_i4) {
        k->gemm_i4(x, in, rows, in, packed, blocks, p->sums, columns);
        return;
    }
    for (size_t b = 0; b < blocks; b++) {
        k->unpack_i4(packed + b * size, in, p->block);
        k->gemm_i8(x, in, rows, in, p->block, 1, p->sums + b * EB_BLOCK, columns);
    }
}

static eb_rescaling rescaling_from(const linear *l, size_t column) {
    eb_rescaling r = l->rescaling;
    r.bias += column;
    r.multipliers += column;
    return r;
}

/* out[rows, columns] = columns of the layer from `first`, in int8 of so many bits fewer. */
static void linear_i8(const eb_model *model, const eb_i8_parts *p, const linear *l, const int8_t *x,
                      size_t rows, size_t first, size_t columns, int bits, int32_t least,
                      int8_t *out) {
    for (size_t c = 0; c < columns; c += EB_COLUMNS) {
        const size_t count = columns - c < EB_COLUMNS ? columns - c : EB_COLUMNS;
        const eb_rescaling rescaling = rescaling_from(l, first + c);
        eb_i8_product(model, p, x, rows, l->in, l->weights, first + c, count);
        for (size_t r = 0; r < rows; r++)
            model->kernels->requantise_i8(p->sums + r * count, &rescaling, bits, count, least,
                                          out + r * columns + c);
    }
}

/* p->rows[rows, h] = factor residual + the layer of x, all of whose columns are h. */
static void linear_add(const eb_model *model, const eb_i8_parts *p, const linear *l,
                       const int8_t *x, size_t rows, const int8_t *residual, int32_t factor) {
    const size_t h = eb_model_config(model)->hidden_size;
    for (size_t c = 0; c < h; c += EB_COLUMNS) {
        const size_t count = h - c < EB_COLUMNS ? h - c : EB_COLUMNS;
        const eb_rescaling rescaling = rescaling_from(l, c);
        eb_i8_product(model, p, x, rows, l->in, l->weights, c, count);
        for (size_t r = 0; r < rows; r++)
            model->kernels->requantise_add(p->sums + r * count, &rescaling, residual + r * h + c,
                                           factor, count, p->rows + r * h + c);
    }
}

/* x[rows, h] = LayerNorm of p->rows */
static void layer_norm(const eb_model *model, const eb_i8_parts *p, size_t rows,
                       const int16_t *weight, const int16_t *bias, const eb_norm_scales *scales,
                       int8_t *x) {
    const size_t h = eb_model_config(model)->hidden_size;
    for (size_t r = 0; r < rows; r++)
        model->kernels->layer_norm_i8(p->rows + r * h, h, weight, bias, scales, x + r * h);
}

/* Stores keys and values of up to EB_ROWS tokens from token i, p->wide[rows, 2 h], in the layout
 * of weights. i is a multiple of 4, and so become the rows. */
static void store_keys_and_values(const eb_config *config, const eb_i8_parts *p, size_t i,
                                  size_t rows, size_t n) {
    const size_t h = config->hidden_size, d = h / config->num_attention_heads;
    const size_t columns = EB_ROUND_UP(n);
    while (rows % 4)
        memset(p->wide + rows++ * 2 * h, 0, 2 * h);
    for (size_t r = 0; r < rows; r += 4, i += 4) {
        const int8_t *wide = p->wide + r * 2 * h;
        for (size_t c = 0; c < h; c += 4) {
            int8_t *keys = p->keys + c / d * d * columns + (i / EB_BLOCK * d + c % d) * EB_BLOCK;
            for (size_t t = 0; t < 4; t++)
                memcpy(keys + ((i + t) % EB_BLOCK) * 4, wide + t * 2 * h + c, 4);
        }
        wide += h;
        for (size_t c = 0; c < h; c += EB_BLOCK) {
            int8_t *values = p->values + c / d * d * columns + c % d * columns + i * EB_BLOCK;
            for (size_t j = 0; j < EB_BLOCK; j++)
                for (size_t t = 0; t < 4; t++)
                    values[j * 4 + t] = wide[t * 2 * h + c + j];
        }
    }
}

static void keys_and_values(const eb_model *model, const eb_layer_scales *scales, const linear *qkv,
                            size_t n, const int8_t *x, const eb_i8_parts *p) {
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size;
    memset(p->keys, 0, 2 * h * EB_ROUND_UP(n)); /* the values too, behind them */
    for (size_t i = 0; i < n; i += EB_ROWS) {
        const size_t rows = n - i < EB_ROWS ? n - i : EB_ROWS;
        linear_i8(model, p, qkv, x + i * h, rows, h, 2 * h, scales->qkv_bits, -127, p->wide);
        store_keys_and_values(config, p, i, rows, n);
    }
}

/* narrow[rows, h] = the heads' contexts of the queries in narrow. */
static void attend(const eb_model *model, const eb_layer_scales *scales, size_t n, size_t rows,
                   const eb_i8_parts *p) {
    const eb_kernels *k = model->kernels;
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size, d = h / config->num_attention_heads;
    const size_t columns = EB_ROUND_UP(n), queries = num_queries(config, n);
    for (size_t c = 0; c < h; c += d)
        for (size_t i = 0; i < rows; i += queries) {
            const size_t count = rows - i < queries ? rows - i : queries;
            int8_t *x = p->narrow + i * h + c;
            int32_t totals[EB_ROWS];
            k->gemm_i8(x, h, count, d, p->keys + c * columns, columns / EB_BLOCK, p->sums, columns);
            for (size_t r = 0; r < count; r++)
                totals[r] =
                    k->softmax_i8(p->sums + r * columns, n, columns, scales->softmax_multiplier,
                                  scales->softmax_shift, p->wide + r * columns);
            k->gemm_i8(p->wide, columns, count, columns, p->values + c * columns, d / EB_BLOCK,
                       p->sums, d);
            for (size_t r = 0; r < count; r++) {
                const int length = eb_bit_length((uint32_t)totals[r]);
                const int shift = length > 8 ? length - 8 : 0;
                const uint64_t scaled = (uint64_t)scales->context_multiplier << shift;
                const uint64_t multiplier = scaled / (uint32_t)totals[r];
                k->scale_i8(p->sums + r * d,
                            multiplier < INT16_MAX ? (int32_t)multiplier : INT16_MAX, shift,
                            scales->context_bits, d, x + r * h);
            }
        }
}

static void encode_layer(const eb_model *model, size_t layer, size_t n, size_t states, int8_t *x,
                         const eb_i8_parts *p) {
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size, inner = config->intermediate_size;
    const eb_layer_scales *scales = W(LAYER_SCALES);
    const linear qkv = LINEAR(QKV, h, scales->qkv_shift);
    const linear attention = LINEAR(ATTENTION_OUTPUT, h, scales->attention_output_shift);
    const linear intermediate = LINEAR(INTERMEDIATE, h, scales->intermediate_shift);
    const linear output = LINEAR(OUTPUT, inner, scales->output_shift);
    keys_and_values(model, scales, &qkv, n, x, p);
    for (size_t i = 0; i < states; i += EB_ROWS, x += EB_ROWS * h) {
        const size_t rows = states - i < EB_ROWS ? states - i : EB_ROWS;
        linear_i8(model, p, &qkv, x, rows, 0, h, scales->qkv_bits, -127, p->narrow);
        attend(model, scales, n, rows, p);
        linear_add(model, p, &attention, p->narrow, rows, x, scales->attention_factor);
        layer_norm(model, p, rows, W(ATTENTION_NORM_WEIGHT), W(ATTENTION_NORM_BIAS),
                   &scales->attention_norm, x);

        linear_i8(model, p, &intermediate, x, rows, 0, inner, scales->intermediate_bits, -128,
                  p->wide);
        model->kernels->lookup_i8(W(GELU_TABLE), rows * inner, p->wide);
        linear_add(model, p, &output, p->wide, rows, x, scales->output_factor);
        layer_norm(model, p, rows, W(OUTPUT_NORM_WEIGHT), W(OUTPUT_NORM_BIAS), &scales->output_norm,
                   x);
    }
}
#undef W
#undef LINEAR

static void encode(const eb_model *model, size_t n, size_t wanted, void *x, void *scratch) {
    const eb_config *config = eb_model_config(model);
    const eb_i8_parts p = eb_i8_lay_out(config, n, scratch);
    for (size_t layer = 0; layer < config->num_hidden_layers; layer++)
        encode_layer(model, layer, n, eb_states_of_layer(config, layer, n, wanted), x, &p);
}

const eb_encoder eb_encoder_i8 = {
    .element_size = sizeof(int8_t),
    .scratch = scratch_size,
    .embed = embed,
    .encode = encode,
    .classify = eb_i8_classify,
#ifndef EB_LABELS_ONLY
    .mean = eb_i8_mean,
    .tag = eb_i8_tag,
#endif
};
