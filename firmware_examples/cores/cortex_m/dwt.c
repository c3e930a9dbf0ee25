/* The cycle counter of Armv7-M and Armv8-M (DDI 0403, C1.8): 32 bits; its wraps are seen if it is
 * read at least once in 2^32 cycles. */
#include "board.h"

#define DEBUG_CONTROL (*(volatile uint32_t *)0xe000edfc)
#define TRACE_ENABLE (1u << 24)
#define CONTROL (*(volatile uint32_t *)0xe0001000)
#define CYCLE_COUNT (*(volatile uint32_t *)0xe0001004)
#define LOCK_ACCESS (*(volatile uint32_t *)0xe0001fb0)
#define UNLOCK 0xc5acce55u

void timer_init(void) {
    DEBUG_CONTROL |= TRACE_ENABLE;
    LOCK_ACCESS = UNLOCK; /* some Cortex-M7 ignore CONTROL without it */
    CYCLE_COUNT = 0;
    CONTROL |= 1;
}

uint64_t timer_ticks(void) {
    static uint32_t last, wraps;
    const uint32_t now = CYCLE_COUNT;
    wraps += now < last;
    last = now;
    return (uint64_t)wraps << 32 | now;
}
