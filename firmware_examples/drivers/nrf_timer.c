/* TIMER0 of the nRF51 and nRF52, 32 bits at 16 MHz: the nRF51 has no SysTick. Its wraps are seen if
 * it is read at least once in 268 s. */
#include "board.h"

#define REGISTER(offset) (*(volatile uint32_t *)(0x40008000 + (offset)))
#define START REGISTER(0x000)
#define CAPTURE REGISTER(0x040)
#define BIT_MODE REGISTER(0x508)
#define PRESCALER REGISTER(0x510)
#define CAPTURED REGISTER(0x540)

void timer_init(void) {
    BIT_MODE = 3; /* 32 bits */
    PRESCALER = 0;
    START = 1;
}

uint64_t timer_ticks(void) {
    static uint32_t last, wraps;
    CAPTURE = 1;
    const uint32_t now = CAPTURED;
    wraps += now < last;
    last = now;
    return (uint64_t)wraps << 32 | now;
}
