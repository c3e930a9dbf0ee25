/* The processor's own counter of cycles. */
#include "board.h"

void timer_init(void) {
}

uint64_t timer_ticks(void) {
    uint32_t high, low, again;
    do
        __asm__ volatile(".option arch, +zicsr\n"
                         "csrr %0, mcycleh\n csrr %1, mcycle\n csrr %2, mcycleh"
                         : "=r"(high), "=r"(low), "=r"(again));
    while (high != again);
    return (uint64_t)high << 32 | low;
}
