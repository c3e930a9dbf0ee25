/* Time of the hash embedding with each kernel that this processor has; benchmarks/hash.py builds
 * and runs it. Tokens come from standard input, one a line; argv: family, dimension, max_ngram.
 * Prints a line for each kernel: its name and nanoseconds per token, the best of several runs. */
#define _POSIX_C_SOURCE 200809L
#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_TOKENS 65536
#define MAX_BYTES (1 << 20)
#define RUNS 30

static uint8_t bytes[MAX_BYTES];
static uint32_t ends[MAX_TOKENS];

static size_t read_tokens(void) {
    char line[4096];
    size_t count = 0, used = 0;
    while (count < MAX_TOKENS && fgets(line, sizeof line, stdin)) {
        const size_t size = strcspn(line, "\n");
        if (used + size > MAX_BYTES)
            break;
        memcpy(bytes + used, line, size);
        used += size;
        ends[count++] = (uint32_t)used;
    }
    return count;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    const eb_hash_params params = {(uint32_t)atoi(argv[1]),
                                   (uint32_t)atoi(argv[2]),
                                   (uint32_t)atoi(argv[3]),
                                   1000000007u,
                                   31,
                                   42,
                                   0};
    const size_t count = read_tokens();
    size_t size;
    eb_hash *hash;
    if (count == 0 || eb_hash_size(&params, &size) != EB_OK)
        return 1;
    float *vectors = calloc(count * params.dimension, sizeof *vectors);
    void *memory = malloc(size);
    if (!vectors || eb_hash_open(&params, memory, size, &hash) != EB_OK)
        return 1;
    for (size_t k = 0; k < eb_kernels_count(); k++) {
        hash->kernels = eb_kernels_get(k);
        if (!hash->kernels)
            continue;
        double best = 1e30;
        for (int run = 0; run < RUNS; run++) {
            const double start = now();
            eb_hash_embed_many(hash, bytes, ends, count, vectors);
            const double time = now() - start;
            best = time < best ? time : best;
        }
        printf("%s %.1f\n", hash->kernels->name, best / (double)count);
    }
    free(memory);
    free(vectors);
    return 0;
}
