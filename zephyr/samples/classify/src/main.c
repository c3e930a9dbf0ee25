/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of text in, its label out. */
#include <edgebert.h>
#include <string.h>
#include <zephyr/console/console.h>
#include <zephyr/kernel.h>

/* Bytes for the model's handle and the arena, and labels that a model may have. */
#define MEMORY (40 * 1024)
#define MAX_LABELS 64

extern const uint8_t model_file[], model_file_end[];
static uint8_t memory[MEMORY] __aligned(EB_ALIGNMENT);
static float logits[MAX_LABELS];

static void print_label(const eb_model *model) {
    const uint32_t count = eb_model_config(model)->num_labels;
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        best = logits[i] > logits[best] ? i : best;
    size_t size;
    const char *label = eb_model_label(model, best, &size);
    printk("%.*s\n", (int)size, label);
}

int main(void) {
    const size_t file_size = (size_t)(model_file_end - model_file);
    size_t handle_size = 0;
    eb_model *model = NULL;
    eb_status status = eb_model_size(model_file, file_size, &handle_size);
    if (status == EB_OK)
        status = eb_model_open(model_file, file_size, memory, sizeof(memory), &model);
    if (status == EB_OK && eb_model_config(model)->num_labels > MAX_LABELS)
        status = EB_ERROR_MEMORY;
    if (status != EB_OK) {
        printk("model: %s\n", eb_status_text(status));
        return 0;
    }

    console_getline_init();
    printk("edgebert: type a line\n");
    for (;;) {
        const char *line = console_getline();
        const eb_text text = {line, strlen(line), NULL, 0};
        status = eb_classify(model, &text, memory + handle_size, sizeof(memory) - handle_size,
                             logits, NULL, NULL);
        if (status == EB_OK)
            print_label(model);
        else
            printk("%s\n", eb_status_text(status));
    }
}
