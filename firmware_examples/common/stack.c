#include "stack.h"

#include "start.h"

#define PAINT 0x5aa5c33cu
#define MARGIN 16 /* words below the caller's that this function may be using */

void stack_paint(void) {
    uint32_t *end = (uint32_t *)__builtin_frame_address(0) - MARGIN;
    for (volatile uint32_t *at = stack_limit; at < end; at++)
        *at = PAINT;
}

uint32_t stack_peak(void) {
    const volatile uint32_t *at = stack_limit;
    while (*at == PAINT)
        at++;
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)at);
}

uint32_t stack_size(void) {
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)stack_limit);
}
