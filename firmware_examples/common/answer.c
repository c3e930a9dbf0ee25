#include "answer.h"

/* e^x for x <= 0, by (1 + x/1024 + (x/1024)^2 / 2)^1024: right to 4 digits, with no libm. */
static float exponential(float x) {
    if (x < -20.0f)
        return 0.0f;
    const float small = x / 1024.0f;
    float y = 1.0f + small + small * small / 2.0f;
    for (int i = 0; i < 10; i++)
        y *= y;
    return y;
}

answer answer_from(const float *logits, uint32_t count) {
    answer a = {0, 0.0f};
    for (uint32_t i = 1; i < count; i++)
        a.label = logits[i] > logits[a.label] ? i : a.label;
    float sum = 0.0f;
    for (uint32_t i = 0; i < count; i++)
        sum += exponential(logits[i] - logits[a.label]);
    a.probability = 1.0f / sum;
    return a;
}
