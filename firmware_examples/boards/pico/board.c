/* RP2040 at 133 MHz; the console is at GP0 and GP1. */
#include "board.h"
#include "drivers/rp2_chip.h"

void board_init(void) {
    static const rp2_chip rp2040 = {
        .resets = 0x4000c000,
        .clocks = 0x40008000,
        .crystal = 0x40024000,
        .pll = 0x40028000,
        .pins = 0x40014000,
        .pads = 0x4001c000,
        .reset_pll = 1u << 12,
        .reset_rest = 1u << 22 | 1u << 8 | 1u << 5,
        .divide_by_1 = 1u << 8,
        .pll_feedback = 133,
        .pll_divisors = {6, 2},
    };
    rp2_init(&rp2040);
}
