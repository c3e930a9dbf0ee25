/* What the integer encoder and its heads share; private to csrc. */
#ifndef EB_ENCODER_I8_H
#define EB_ENCODER_I8_H

#include "encoder.h"
#include "format.h"

/* Tokens, and columns of a linear layer's outputs, that are taken at a time. Fewer need less memory
 * and more time; the results are the same. */
#ifndef EB_ROWS
#define EB_ROWS 8
#endif
#ifndef EB_COLUMNS
#define EB_COLUMNS 256
#endif
#if EB_ROWS < 4 || EB_ROWS % 4 || EB_COLUMNS < EB_BLOCK || EB_COLUMNS % EB_BLOCK
#error "EB_ROWS must be a multiple of 4, EB_COLUMNS of 16"
#endif

/* Where the parts of the scratch memory lie. */
typedef struct eb_i8_parts {
    int32_t *sums;  /* what a matrix product gives: of rows of outputs, or of scores */
    int16_t *rows;  /* [EB_ROWS, hidden_size]: what a LayerNorm takes */
    int8_t *narrow; /* [EB_ROWS, hidden_size]: queries, contexts */
    int8_t *wide;   /* [EB_ROWS, widest]: keys and values, softmax, intermediate */
    int8_t *block;  /* [longest in, 16]: four-bit weights unpacked */
    int8_t *keys;   /* each head's, as a matrix of weights: [n / 16][d / 4][16][4] */
    int8_t *values; /* each head's, as a matrix of weights: [d / 16][n / 4][16][4] */
} eb_i8_parts;

/* For a run over n tokens. */
eb_i8_parts eb_i8_lay_out(const eb_config *config, size_t n, void *scratch);

/* p->sums[rows, columns] = x[rows, in] times columns of a matrix from `first`, all in blocks. */
void eb_i8_product(const eb_model *model, const eb_i8_parts *p, const int8_t *x, size_t rows,
                   size_t in, const void *matrix, size_t first, size_t columns);

/* The heads: encoder.h tells what each does. */
void eb_i8_classify(const eb_model *model, const void *x, float *logits, float *pooled,
                    void *scratch);
void eb_i8_mean(const eb_model *model, size_t n, const void *x, float *pooled, void *scratch);
int16_t *eb_i8_tag(const eb_model *model, size_t n, const void *x, void *scratch);

#endif
