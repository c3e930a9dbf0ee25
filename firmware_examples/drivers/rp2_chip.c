/* RP2040 datasheet, chapters 2.14 to 2.19; RP2350 datasheet, chapters 7 to 9. */
#include "rp2_chip.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define REFERENCE_CLOCK 0x30 /* offsets of chip->clocks */
#define SYSTEM_CLOCK 0x3c
#define PERIPHERAL_CLOCK 0x48
#define DIVISOR 0x04 /* ... and of each clock in it */
#define SELECTED 0x08
#define FROM_CRYSTAL 2
#define FROM_REFERENCE 0
#define FROM_PLL 1
#define PERIPHERAL_ON (1u << 11)

#define CRYSTAL_ON (0xfabu << 12 | 0xaa0u)
#define CRYSTAL_STATUS 0x04
#define CRYSTAL_STARTUP 0x0c
#define A_MILLISECOND 47 /* of 256 periods of 12 MHz */
#define STABLE (1u << 31)

#define PLL_POWER_DOWN 0x04
#define PLL_FEEDBACK 0x08
#define PLL_DIVISORS 0x0c
#define PLL_LOCKED (1u << 31)
#define POST_DIVIDER_DOWN (1u << 3)
#define MODULATOR_DOWN (1u << 2) /* it does nothing */

#define PIN_UART 2
#define PAD_PULLED_UP 0x5a /* input on, 4 mA, Schmitt trigger; on the RP2350 not isolated */

static void reset(const rp2_chip *chip, uint32_t bits) {
    REGISTER(chip->resets) |= bits;
    REGISTER(chip->resets) &= ~bits;
    while ((REGISTER(chip->resets + 8) & bits) != bits)
        ;
}

/* Selects a source among those between which a clock changes without a glitch. */
static void clock_from(uint32_t clock, uint32_t source) {
    REGISTER(clock) = (REGISTER(clock) & ~3u) | source;
    while (!(REGISTER(clock + SELECTED) >> source & 1))
        ;
}

static void clocks_init(const rp2_chip *chip) {
    REGISTER(chip->crystal + CRYSTAL_STARTUP) = A_MILLISECOND;
    REGISTER(chip->crystal) = CRYSTAL_ON;
    while (!(REGISTER(chip->crystal + CRYSTAL_STATUS) & STABLE))
        ;
    /* A debugger's reset leaves the clocks as they were: off the PLL before that stops. */
    clock_from(chip->clocks + SYSTEM_CLOCK, FROM_REFERENCE);
    clock_from(chip->clocks + REFERENCE_CLOCK, FROM_CRYSTAL);

    reset(chip, chip->reset_pll);
    REGISTER(chip->pll) = 1; /* the crystal's frequency as it is */
    REGISTER(chip->pll + PLL_FEEDBACK) = chip->pll_feedback;
    REGISTER(chip->pll + PLL_POWER_DOWN) = POST_DIVIDER_DOWN | MODULATOR_DOWN;
    while (!(REGISTER(chip->pll) & PLL_LOCKED))
        ;
    REGISTER(chip->pll + PLL_DIVISORS) = chip->pll_divisors[0] << 16 | chip->pll_divisors[1] << 12;
    REGISTER(chip->pll + PLL_POWER_DOWN) = MODULATOR_DOWN;

    REGISTER(chip->clocks + SYSTEM_CLOCK + DIVISOR) = chip->divide_by_1;
    REGISTER(chip->clocks + SYSTEM_CLOCK) = FROM_REFERENCE; /* and pll is the other source */
    clock_from(chip->clocks + SYSTEM_CLOCK, FROM_PLL);
    REGISTER(chip->clocks + PERIPHERAL_CLOCK) = PERIPHERAL_ON;
}

void rp2_init(const rp2_chip *chip) {
    clocks_init(chip);
    reset(chip, chip->reset_rest);
    for (uint32_t pin = 0; pin < 2; pin++) {
        REGISTER(chip->pads + 4 + 4 * pin) = PAD_PULLED_UP;
        REGISTER(chip->pins + 4 + 8 * pin) = PIN_UART;
    }
}
