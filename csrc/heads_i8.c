/* From the last hidden states to logits, vectors and scores of tags, in integers alone;
 * docs/numerics.md defines every step. */
#include "encoder_i8.h"
#include "kernels/i8.h"
#include "model.h"
#include "tags.h"
#include "tanh_table.h"

#include <string.h>

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

void eb_i8_classify(const eb_model *model, const void *x, float *logits, float *pooled,
                    void *scratch) {
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size;
    const eb_model_scales *scales = eb_tensor_of(model, 0, EB_MODEL_SCALES);
    const eb_i8_parts p = eb_i8_lay_out(config, 1, scratch);
    const int32_t *bias = eb_tensor_of(model, 0, EB_POOLER_BIAS);
    const int32_t *multipliers = eb_tensor_of(model, 0, EB_POOLER_MULTIPLIER);
    int32_t *states = p.sums; /* 2^11 tanh of each */
    eb_i8_product(model, &p, x, 1, h, eb_tensor_of(model, 0, EB_POOLER_WEIGHT), 0, h);
    for (size_t c = 0; c < h; c++) {
        const int32_t sum = eb_add(p.sums[c], bias[c]);
        states[c] =
            tanh_of(eb_clip_i16(eb_multiply_wide(sum, multipliers[c], scales->pooler_shift)));
        if (pooled)
            pooled[c] = (float)states[c] / 2048.0f;
    }

    bias = eb_tensor_of(model, 0, EB_CLASSIFIER_BIAS);
    multipliers = eb_tensor_of(model, 0, EB_CLASSIFIER_MULTIPLIER);
    const int8_t *block = NULL;
    for (size_t j = 0; j < config->num_labels; j++) {
        if (j % EB_BLOCK == 0)
            block = classifier_block(model, j / EB_BLOCK, p.block);
        int32_t sum = 0;
        for (size_t c = 0; c < h; c++)
            sum += states[c] * block[c / 4 * 4 * EB_BLOCK + j % EB_BLOCK * 4 + c % 4];
        const int32_t logit =
            eb_multiply_wide(eb_add(sum, bias[j]), multipliers[j], scales->classifier_shift);
        logits[j] = (float)logit / 65536.0f; /* exact but for what a float cannot hold */
    }
}

#ifndef EB_LABELS_ONLY
/* sums[h] 2^16 / their Euclidean length, which is the root of `squares`. The sum of an h's squares
 * is below 2^58: of 2^12 sums of 2^16 int8. */
static void normalise(const int32_t *sums, size_t h, uint64_t squares, float *pooled) {
    int shift = 0; /* makes the length 31 bits */
    while (squares && squares >> 60 == 0) {
        squares <<= 2;
        shift++;
    }
    const uint32_t length = eb_integer_sqrt64(squares);
    const int32_t reciprocal = length ? (int32_t)(((uint64_t)1 << 60) / length) : 0;
    for (size_t c = 0; c < h; c++) {
        const int32_t part = eb_multiply_wide(sums[c] * (1 << shift), reciprocal, 44);
        pooled[c] = (float)part / 65536.0f;
    }
}

void eb_i8_mean(const eb_model *model, size_t n, const void *x, float *pooled, void *scratch) {
    const size_t h = eb_model_config(model)->hidden_size;
    const int8_t *states = x;
    int32_t *sums = scratch;
    uint64_t squares = 0;
    memset(sums, 0, h * sizeof *sums);
    for (size_t t = 0; t < n; t++)
        for (size_t c = 0; c < h; c++)
            sums[c] += states[t * h + c];
    for (size_t c = 0; c < h; c++)
        squares += (uint64_t)((int64_t)sums[c] * sums[c]);
    normalise(sums, h, squares, pooled);
}

/* scores[rows, num_tags] of the states of x. */
static void tag_rows(const eb_model *model, const eb_i8_parts *p, const int8_t *x, size_t rows,
                     int16_t *scores) {
    const size_t h = eb_model_config(model)->hidden_size;
    const size_t num_tags = eb_model_config(model)->num_tags;
    const eb_model_scales *scales = eb_tensor_of(model, 0, EB_MODEL_SCALES);
    const int32_t *bias = eb_tensor_of(model, 0, EB_TAGGER_BIAS);
    const int32_t *multipliers = eb_tensor_of(model, 0, EB_TAGGER_MULTIPLIER);
    for (size_t first = 0; first < num_tags; first += EB_COLUMNS) {
        const size_t count = num_tags - first < EB_COLUMNS ? num_tags - first : EB_COLUMNS;
        const size_t columns = EB_ROUND_UP(count);
        eb_i8_product(model, p, x, rows, h, eb_tensor_of(model, 0, EB_TAGGER_WEIGHT), first,
                      columns);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = first; j < first + count; j++) {
                const int32_t sum = eb_add(p->sums[r * columns + j - first], bias[j]);
                const int32_t logit = eb_multiply_wide(sum, multipliers[j], scales->tagger_shift);
                scores[r * num_tags + j] = eb_tag_score((logit >> 8) + (logit >> 7 & 1));
            }
    }
}

/* The scores take the place of the keys and values, which nobody needs any more. */
int16_t *eb_i8_tag(const eb_model *model, size_t n, const void *x, void *scratch) {
    const eb_config *config = eb_model_config(model);
    const eb_i8_parts p = eb_i8_lay_out(config, n, scratch);
    int16_t *scores = (int16_t *)(void *)p.keys;
    for (size_t i = 0; i < n; i += EB_ROWS)
        tag_rows(model, &p, (const int8_t *)x + i * config->hidden_size,
                 n - i < EB_ROWS ? n - i : EB_ROWS, scores + i * config->num_tags);
    return scores;
}
#endif
