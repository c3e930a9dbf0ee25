#include "stm32f4_clock.h"

#include "stm32.h"

#define CONTROL RCC
#define HSI_READY (1u << 1)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define PLL (RCC + 0x04)
#define CONFIGURATION (RCC + 0x08)
#define POWER_ENABLE (1u << 28)
#define POWER_CONTROL 0x40007000u
#define POWER_STATUS 0x40007004u
#define SCALE_1 (3u << 14)
#define OVER_DRIVE (1u << 16)
#define OVER_DRIVE_SWITCH (1u << 17)
#define FLASH_ACCESS 0x40023c00u

/* From the internal oscillator of 16 MHz, accurate to 1% at room temperature, which is enough for
 * the UART: not all Nucleo boards bring the debugger's crystal to the chip. */
void stm32f4_clock(uint32_t megahertz, uint32_t flash_access) {
    wait_for(CONTROL, HSI_READY, HSI_READY);
    change(CONFIGURATION, 3, 0); /* from the oscillator, should a bootloader have left the PLL */
    wait_for(CONFIGURATION, 3u << 2, 0);
    change(CONTROL, PLL_ON, 0);
    wait_for(CONTROL, PLL_READY, 0);

    clock_on(APB1_ENABLE, POWER_ENABLE);
    change(POWER_CONTROL, SCALE_1, SCALE_1);
    /* 16 MHz / 8 * N / 2; Q and R, which nobody uses, within their limits. */
    REGISTER(PLL) = 2u << 28 | 9u << 24 | 0u << 16 | megahertz << 6 | 8;
    change(CONTROL, 0, PLL_ON);
    change(POWER_CONTROL, 0, OVER_DRIVE);
    wait_for(POWER_STATUS, OVER_DRIVE, OVER_DRIVE);
    change(POWER_CONTROL, 0, OVER_DRIVE_SWITCH);
    wait_for(POWER_STATUS, OVER_DRIVE_SWITCH, OVER_DRIVE_SWITCH);
    wait_for(CONTROL, PLL_READY, PLL_READY);

    REGISTER(FLASH_ACCESS) = flash_access; /* slow enough before the clock is fast */
    wait_for(FLASH_ACCESS, 15, flash_access & 15);
    change(CONFIGURATION, 15u << 4 | 7u << 10 | 7u << 13, 5u << 10 | 4u << 13); /* APB /4, /2 */
    change(CONFIGURATION, 3, 2);
    wait_for(CONFIGURATION, 3u << 2, 2u << 2);
}
