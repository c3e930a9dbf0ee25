/* What the STM32F4, F7 and H7 have in common. */
#ifndef STM32_H
#define STM32_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Changes the bits of mask to those of value. */
static inline void change(uint32_t address, uint32_t mask, uint32_t value) {
    REGISTER(address) = (REGISTER(address) & ~mask) | value;
}

static inline void wait_for(uint32_t address, uint32_t mask, uint32_t value) {
    while ((REGISTER(address) & mask) != value)
        ;
}

/* Turns clocks on; reading back takes as long as they need to be there. */
static inline void clock_on(uint32_t address, uint32_t bits) {
    change(address, 0, bits);
    (void)REGISTER(address);
}

/* Gives a pin of a port, whose clock must be on, to a peripheral. The pull-up keeps a line quiet
 * that nobody drives. */
static inline void pin_to_peripheral(uint32_t port, uint32_t pin, uint32_t function) {
    change(port + 0x0c, 3u << 2 * pin, 1u << 2 * pin);                              /* pull up */
    change(port + 0x20 + pin / 8 * 4, 15u << pin % 8 * 4, function << pin % 8 * 4); /* which */
    change(port, 3u << 2 * pin, 2u << 2 * pin);                                     /* alternate */
}

#endif
