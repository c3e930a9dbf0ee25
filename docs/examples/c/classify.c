/* classify MODEL TEXT: prints the logit of each label. */
#include <edgebert.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LABELS = 256 };
static _Alignas(EB_ALIGNMENT) unsigned char file[1 << 20], handle[1 << 16], arena[1 << 20];

int main(int count, char **arguments) {
    FILE *stream = count == 3 ? fopen(arguments[1], "rb") : NULL;
    const size_t file_size = stream ? fread(file, 1, sizeof file, stream) : 0;
    eb_model *model = NULL;
    eb_status status = eb_model_open(file, file_size, handle, sizeof handle, &model);
    if (status == EB_OK && eb_model_config(model)->num_labels > MOST_LABELS)
        status = EB_ERROR_UNSUPPORTED;

    float logits[MOST_LABELS];
    if (status == EB_OK) {
        const eb_text text = {arguments[2], strlen(arguments[2]), NULL, 0};
        status = eb_classify(model, &text, arena, sizeof arena, logits, NULL, NULL);
    }
    if (status != EB_OK) {
        fprintf(stderr, "%s\n", eb_status_text(status));
        return 1;
    }
    for (uint32_t i = 0; i < eb_model_config(model)->num_labels; i++) {
        size_t size;
        const char *label = eb_model_label(model, i, &size);
        printf("%+.3f %.*s\n", (double)logits[i], (int)size, label);
    }
    return 0;
}
