/* The matrix product for Cortex-M0 and M0+, which have eight registers to multiply in. Weights are
 * loaded as words, and so begin at a multiple of 4. */
#ifndef EB_I8_M0_H
#define EB_I8_M0_H

#include "i8.h"

#define EB_M0_ROWS 4
#define EB_M0_INPUTS 64 /* that are widened at a time, to 1 KB on the stack */

/* sums[EB_M0_ROWS] = inputs[in, EB_M0_ROWS] times a column of weights, which lies from w to end. By
 * hand: compilers keep numbers on the stack, where there is room in the upper registers for sums,
 * and do not load four numbers by one instruction. For 16 products it takes 46. */
void eb_column_m0(const int32_t *inputs, const int8_t *w, const int8_t *end, int32_t *sums);

#define EB_MULTIPLY_M0                                                                             \
    "ldmia r6!, {r0-r3}\n"                                                                         \
    "muls r0, r5, r0\n"                                                                            \
    "add r8, r8, r0\n"                                                                             \
    "muls r1, r5, r1\n"                                                                            \
    "add r9, r9, r1\n"                                                                             \
    "muls r2, r5, r2\n"                                                                            \
    "add r10, r10, r2\n"                                                                           \
    "muls r3, r5, r3\n"                                                                            \
    "add r11, r11, r3\n"

__asm__(".syntax unified\n"
        ".section .text.eb_column_m0, \"ax\", %progbits\n"
        ".balign 4\n"
        ".global eb_column_m0\n"
        ".thumb_func\n"
        ".type eb_column_m0, %function\n"
        "eb_column_m0:\n"
        "push {r4-r7, lr}\n"
        "mov r4, r8\n"
        "mov r5, r9\n"
        "mov r6, r10\n"
        "mov r7, r11\n"
        "push {r3-r7}\n"
        "mov r6, r0\n"
        "mov r7, r1\n"
        "mov r12, r2\n"
        "movs r0, #0\n"
        "mov r8, r0\n"
        "mov r9, r0\n"
        "mov r10, r0\n"
        "mov r11, r0\n"
        "1:\n"
        "ldr r4, [r7]\n" /* the weights of four inputs */
        "adds r7, r7, #64\n"
        "sxtb r5, r4\n" EB_MULTIPLY_M0 "lsls r5, r4, #16\n"
        "asrs r5, r5, #24\n" EB_MULTIPLY_M0 "lsls r5, r4, #8\n"
        "asrs r5, r5, #24\n" EB_MULTIPLY_M0 "asrs r5, r4, #24\n" EB_MULTIPLY_M0 "cmp r7, r12\n"
        "bne 1b\n"
        "mov r0, r8\n"
        "mov r1, r9\n"
        "mov r2, r10\n"
        "mov r4, r11\n"
        "pop {r3}\n"
        "str r0, [r3]\n"
        "str r1, [r3, #4]\n"
        "str r2, [r3, #8]\n"
        "str r4, [r3, #12]\n"
        "pop {r4-r7}\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r6\n"
        "mov r11, r7\n"
        "pop {r4-r7, pc}\n"
        ".size eb_column_m0, . - eb_column_m0\n"
        ".text\n");

static inline void eb_gemm_i8_m0(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                                 size_t blocks, int32_t *acc, size_t ld) {
    int32_t inputs[EB_M0_INPUTS * EB_M0_ROWS] = {0}, sums[EB_M0_ROWS];
    for (size_t rows; n > 0; n -= rows, x += rows * ldx, acc += rows * ld) {
        rows = n < EB_M0_ROWS ? n : EB_M0_ROWS;
        for (size_t k = 0; k < in; k += EB_M0_INPUTS) {
            const size_t part = in - k < EB_M0_INPUTS ? in - k : EB_M0_INPUTS;
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < part; j++)
                    inputs[j * EB_M0_ROWS + r] = x[r * ldx + k + j];
            for (size_t c = 0; c < blocks * EB_BLOCK; c++) {
                const int8_t *column = w + (c / EB_BLOCK * in + k) * EB_BLOCK + c % EB_BLOCK * 4;
                eb_column_m0(inputs, column, column + part * EB_BLOCK, sums);
                for (size_t r = 0; r < rows; r++)
                    acc[r * ld + c] = k ? acc[r * ld + c] + sums[r] : sums[r];
            }
        }
    }
}

#endif
