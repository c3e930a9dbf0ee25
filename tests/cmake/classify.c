/* classify MODEL TEXT: prints the logits to the last bit. */
#include <edgebert.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LABELS = 8 };

static unsigned char file[1 << 18] __attribute__((aligned(EB_ALIGNMENT)));
static unsigned char memory[1 << 18] __attribute__((aligned(EB_ALIGNMENT)));

int main(int count, char **arguments) {
    FILE *stream = count == 3 ? fopen(arguments[1], "rb") : NULL;
    if (!stream)
        return 2;
    const size_t file_size = fread(file, 1, sizeof file, stream);
    fclose(stream);

    size_t handle_size = 0;
    eb_model *model = NULL;
    eb_status status = eb_model_size(file, file_size, &handle_size);
    if (status == EB_OK)
        status = eb_model_open(file, file_size, memory, sizeof memory, &model);
    if (status != EB_OK || eb_model_config(model)->num_labels > MAX_LABELS) {
        printf("%s\n", eb_status_text(status));
        return 1;
    }

    const eb_text text = {arguments[2], strlen(arguments[2]), NULL, 0};
    float logits[MAX_LABELS];
    status = eb_classify(model, &text, memory + handle_size, sizeof memory - handle_size, logits,
                         NULL, NULL);
    if (status != EB_OK) {
        printf("%s\n", eb_status_text(status));
        return 1;
    }
    for (uint32_t i = 0; i < eb_model_config(model)->num_labels; i++) {
        uint32_t bits;
        memcpy(&bits, logits + i, sizeof bits);
        printf("%08lx\n", (unsigned long)bits);
    }
    return 0;
}
