#include "answer.h"

#include "console.h"

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

int labels_fit(const eb_model *model) {
    const uint32_t count = eb_model_config(model)->num_labels;
    if (count == 0)
        print("the model has no labels, which this app prints\n");
    if (count > MAX_LABELS)
        print("the model has too many labels: raise MAX_LABELS in answer.h\n");
    return count > 0 && count <= MAX_LABELS;
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
