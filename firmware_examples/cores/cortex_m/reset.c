/* Vector table and reset of any Cortex-M. */
#include "start.h"

#define VECTOR_TABLE (*(volatile uint32_t *)0xe000ed08)
#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xe000ed88)

typedef void (*vector)(void);
static const vector vectors[16];

void systick_interrupt(void);

void reset(void) {
    VECTOR_TABLE = (uint32_t)vectors; /* should a ROM's be in use; a Cortex-M0 has but one */
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    COPROCESSOR_ACCESS |= 15u << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    start();
}

/* frame: r0-r3, r12, lr, pc, xpsr, as the processor stacked them. */
__attribute__((used)) static void report_fault(const uint32_t *frame) {
    fault(frame[6]);
}

__attribute__((naked)) static void any_fault(void) {
    __asm__("mrs r0, msp\n b report_fault");
}

__attribute__((weak)) void systick_interrupt(void) {
}

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    [0] = (vector)stack_top,
    [1] = reset,
    [2 ... 14] = any_fault,
    [15] = systick_interrupt,
};
