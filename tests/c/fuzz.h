/* What the fuzzers share. libFuzzer (LLVM) calls LLVMFuzzerTestOneInput with one input after the
 * other and keeps those that reach new code; its input is a heap block of exactly that size, so
 * that AddressSanitizer sees each byte read beyond. */
#ifndef EB_FUZZ_H
#define EB_FUZZ_H

#include "allocate.h"

#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* A promise of the interface; breaking it is a crash, of which libFuzzer keeps the input. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
