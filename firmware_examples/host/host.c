/* This computer as a board: the console is stdin and stdout, and a cycle is a nanosecond. The apps'
 * own main begins, and the end of stdin ends it. */
#define _POSIX_C_SOURCE 199309L /* for clock_gettime */
#include "board.h"
#include "stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint8_t uart_read(void) {
    fflush(stdout);
    const int byte = getchar();
    if (byte == EOF)
        board_exit(0);
    return (uint8_t)byte;
}

void uart_write(uint8_t byte) {
    putchar(byte);
}

uint64_t board_cycles(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void board_exit(int status) {
    exit(status);
}

/* The system grows the stack: nobody need ask how deep it was. */
void stack_paint(void) {
}

uint32_t stack_peak(void) {
    return 0;
}

uint32_t stack_size(void) {
    return 0;
}
