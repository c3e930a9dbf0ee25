/* Ends QEMU's virt through its test device. */
#include "board.h"

#define TEST_DEVICE (*(volatile uint32_t *)0x100000)
#define PASS 0x5555u
#define FAIL 0x3333u

void board_exit(int status) {
    TEST_DEVICE = status ? (uint32_t)status << 16 | FAIL : PASS;
    for (;;)
        ;
}
