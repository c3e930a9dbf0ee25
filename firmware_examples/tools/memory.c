/* On the host: prints the bytes of RAM that a model needs for its handle and an arena of so many
 * tokens. Pointers of 64 bits make the handle a few hundred bytes larger here than on a device. */
#include "edgebert.h"

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *path, const char *why) {
    fprintf(stderr, "%s: %s\n", path, why);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return fail("usage", "memory MODEL TOKENS");
    FILE *stream = fopen(argv[1], "rb");
    if (!stream || fseek(stream, 0, SEEK_END))
        return fail(argv[1], "cannot be read");
    const size_t size = (size_t)ftell(stream);
    void *file = malloc(size);
    rewind(stream);
    if (!file || fread(file, 1, size, stream) != size)
        return fail(argv[1], "cannot be read");
    eb_model *model = NULL;
    size_t handle = 0, arena = 0;
    eb_status status = eb_model_size(file, size, &handle);
    if (status == EB_OK)
        status = eb_model_open(file, size, malloc(handle), handle, &model);
    if (status == EB_OK && eb_model_config(model)->dtype == EB_DTYPE_F32)
        return fail(argv[1], "error: float32, firmware takes integers: edgebert export --dtype i8");
    if (status == EB_OK) {
        const uint32_t tokens = (uint32_t)strtoul(argv[2], NULL, 10);
        const uint32_t most = eb_model_config(model)->max_position_embeddings;
        status = eb_arena_size(model, tokens < most ? tokens : most, &arena);
    }
    if (status != EB_OK)
        return fail(argv[1], eb_status_text(status));
    printf("%zu\n", handle + arena);
    return 0;
}
