/* A line of text in from the serial monitor; its label and the milliseconds that took, out.
 *
 * model_data.h is a model file as an array. tools/make_arduino_library.py writes it from another
 * model's .ebm. */
#include <edgebert.h>

#include "model_data.h"

// For the model's handle and the arena. With less than a text needs, its end is cut off.
alignas(EB_ALIGNMENT) static uint8_t memory[40 * 1024];
static float logits[64];
static char line[512];

static eb_model *model;
static size_t handle_size;

static eb_status open_model() {
    eb_status status = eb_model_size(model_data, sizeof model_data, &handle_size);
    if (status == EB_OK)
        status = eb_model_open(model_data, sizeof model_data, memory, sizeof memory, &model);
    if (status == EB_OK && eb_model_config(model)->num_labels > sizeof logits / sizeof logits[0])
        status = EB_ERROR_MEMORY;
    return status;
}

void setup() {
    Serial.begin(115200);
    while (!Serial) {
    }
    const eb_status status = open_model();
    if (status != EB_OK) {
        Serial.println(eb_status_text(status));
        while (true)
            delay(1000);
    }
    Serial.println("edgebert: type a line");
}

void loop() {
    const size_t size = Serial.readBytesUntil('\n', line, sizeof line);
    if (size == 0)
        return;

    const eb_text text = {line, size, NULL, 0};
    const unsigned long begin = millis();
    const eb_status status = eb_classify(model, &text, memory + handle_size,
                                         sizeof memory - handle_size, logits, NULL, NULL);
    const unsigned long end = millis();
    if (status != EB_OK) {
        Serial.println(eb_status_text(status));
        return;
    }

    uint32_t best = 0;
    for (uint32_t i = 1; i < eb_model_config(model)->num_labels; i++)
        best = logits[i] > logits[best] ? i : best;
    size_t label_size;
    const char *label = eb_model_label(model, best, &label_size);
    Serial.write((const uint8_t *)label, label_size);
    Serial.print(" ");
    Serial.print(end - begin);
    Serial.println(" ms");
}
