/* What logits mean. */
#ifndef ANSWER_H
#define ANSWER_H

#include "edgebert.h"

#define MAX_LABELS 64

/* Whether the model has labels, and no more than MAX_LABELS; prints what is wrong. */
int labels_fit(const eb_model *model);

/* The most probable of count labels, and how probable it is, 0 to 1, by softmax. */
typedef struct answer {
    uint32_t label;
    float probability;
} answer;

answer answer_from(const float *logits, uint32_t count);

#endif
