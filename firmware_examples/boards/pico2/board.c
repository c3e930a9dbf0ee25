/* RP2350 at 150 MHz, the first of its Arm cores; the console is at GP0 and GP1. */
#include "board.h"
#include "drivers/rp2_chip.h"

/* By this the ROM knows a program in the first 4 kB of the flash (datasheet, chapter 5.9.5.1): it
 * finds the fastest way to read the flash, and starts at the vectors that the flash begins with. */
__attribute__((section(".image_def"), used)) static const uint32_t image_def[] = {
    0xffffded3, /* a block begins */
    0x10210142, /* image type: a program for an RP2350's Arm cores in secure state */
    0x000001ff, /* last item; the items before it are one word */
    0,          /* the next block is this one: there are no others */
    0xab123579, /* the block ends */
};

void board_init(void) {
    static const rp2_chip rp2350 = {
        .resets = 0x40020000,
        .clocks = 0x40010000,
        .crystal = 0x40048000,
        .pll = 0x40050000,
        .pins = 0x40028000,
        .pads = 0x40038000,
        .reset_pll = 1u << 14,
        .reset_rest = 1u << 26 | 1u << 9 | 1u << 6,
        .divide_by_1 = 1u << 16,
        .pll_feedback = 125,
        .pll_divisors = {5, 2},
    };
    rp2_init(&rp2350);
}
