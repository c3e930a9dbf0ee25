/* Clocks and pins of the RP2040 and the RP2350, which differ in their addresses. */
#ifndef RP2_CHIP_H
#define RP2_CHIP_H

#include <stdint.h>

typedef struct rp2_chip {
    uint32_t resets, clocks, crystal, pll, pins, pads;
    uint32_t reset_pll, reset_rest; /* bits of resets: of pll; of pins, pads and the UART */
    uint32_t divide_by_1;           /* of a clock */
    uint32_t pll_feedback;          /* times the crystal's 12 MHz: from 750 to 1600 MHz */
    uint32_t pll_divisors[2];       /* of that, to the processor's clock */
} rp2_chip;

/* Runs processor and peripherals from the crystal by the PLL, and gives pins 0 and 1 to UART0. */
void rp2_init(const rp2_chip *chip);

#endif
