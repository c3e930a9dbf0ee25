/* The performance counter that the ESP32-C3 has instead of mcycle (technical reference, chapter
 * 1.4): 32 bits; its wraps are seen if it is read at least once in 26 s. */
#include "board.h"

#define WRITE(csr, value) __asm__ volatile(".option arch, +zicsr\n csrwi " #csr ", " #value)

void timer_init(void) {
    WRITE(0x7e0, 1); /* count cycles, */
    WRITE(0x7e1, 1); /* now, and from the start again after the last number */
}

uint64_t timer_ticks(void) {
    static uint32_t last, wraps;
    uint32_t now;
    __asm__ volatile(".option arch, +zicsr\n csrr %0, 0x7e2" : "=r"(now));
    wraps += now < last;
    last = now;
    return (uint64_t)wraps << 32 | now;
}
