/* Gives a fuzzer the files in argv, for compilers that have no libFuzzer. */
#include "fuzz.h"

#define MAX_SIZE (1 << 20)

/* Of libFuzzer; a fuzzer that has no such function gets this one. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) {
    (void)data, (void)max_size;
    return size;
}

int main(int argc, char **argv) {
    uint8_t *data = allocate(MAX_SIZE);
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        FILE *stream = fopen(argv[i], "rb");
        REQUIRE(stream);
        const size_t size = fread(data, 1, MAX_SIZE, stream);
        fclose(stream);
        uint8_t *input = copy_of(data, size);
        LLVMFuzzerTestOneInput(input, size);
        free(input);
    }
    printf("%d inputs\n", argc - 1);
    free(data);
    return 0;
}
