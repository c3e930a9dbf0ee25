/* Speed of the int8 matrix product with each kernel that this processor has; benchmarks/gemm.py
 * builds and runs it. Prints a line for each kernel: its name and multiply-accumulates per
 * nanosecond, the best of several matrices and runs. */
#define _POSIX_C_SOURCE 200809L
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROWS 256
#define WIDEST 1024
#define RUNS 40

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int8_t *random_bytes(size_t count) {
    int8_t *bytes = malloc(count);
    uint32_t state = 1;
    for (size_t i = 0; bytes && i < count; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (int8_t)((int)(state >> 24) % 255 - 127);
    }
    return bytes;
}

int main(void) {
    static const size_t shapes[][2] = {{128, 512}, {512, 128}, {512, 512}, {1024, 1024}};
    int8_t *x = random_bytes(ROWS * WIDEST), *w = random_bytes(WIDEST * WIDEST);
    int32_t *sums = malloc(ROWS * WIDEST * sizeof *sums);
    if (!x || !w || !sums)
        return 1;
    for (size_t k = 0; k < eb_kernels_count(); k++) {
        const eb_kernels *kernels = eb_kernels_get(k);
        double best = 0;
        if (!kernels)
            continue;
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (int run = 0; run < RUNS; run++) {
                const size_t in = shapes[s][0], out = shapes[s][1];
                const double start = now();
                kernels->gemm_i8(x, in, ROWS, in, w, out / EB_BLOCK, sums, out);
                const double speed = (double)(ROWS * in * out) / (now() - start);
                best = speed > best ? speed : best;
            }
        printf("%s %.1f\n", kernels->name, best);
    }
    free(x);
    free(w);
    free(sums);
    return 0;
}
