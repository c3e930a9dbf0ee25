/* The timer that nearly every Cortex-M has: 24 bits, counting down, its wraps by an interrupt. */
#include "board.h"

#define CONTROL (*(volatile uint32_t *)0xe000e010)
#define RELOAD (*(volatile uint32_t *)0xe000e014)
#define CURRENT (*(volatile uint32_t *)0xe000e018)
#define PERIOD (1u << 24)

static volatile uint32_t wraps;

void systick_interrupt(void);

void systick_interrupt(void) {
    wraps++;
}

void timer_init(void) {
    RELOAD = PERIOD - 1;
    CURRENT = 0;
    CONTROL = 7; /* on, with its interrupt, at the processor's clock */
}

uint64_t timer_ticks(void) {
    uint32_t high, low;
    do {
        high = wraps;
        low = PERIOD - 1 - CURRENT;
    } while (high != wraps);
    return (uint64_t)high * PERIOD + low;
}
