/* STM32H743ZI at 400 MHz (RM0433); the ST-LINK's serial port is at USART3, PD8 and PD9. */
#include "board.h"
#include "cores/cortex_m/caches.h"
#include "drivers/stm32.h"

#define POWER 0x58024800u
#define POWER_STATUS (POWER + 0x04)
#define POWER_SUPPLY (POWER + 0x0c)
#define POWER_DOMAIN3 (POWER + 0x18)
#define VOLTAGE_READY (1u << 13)
#define SCALE_1 (3u << 14)

#define RCC 0x58024400u
#define HSI_READY (1u << 2)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define CONFIGURATION (RCC + 0x10)
#define DOMAIN1 (RCC + 0x18)
#define DOMAIN2 (RCC + 0x1c)
#define DOMAIN3 (RCC + 0x20)
#define PLL_SOURCE (RCC + 0x28)
#define PLL_OPTIONS (RCC + 0x2c)
#define PLL_DIVISORS (RCC + 0x30)
#define AHB4_ENABLE (RCC + 0xe0)
#define APB1_ENABLE (RCC + 0xe8)

#define FLASH_ACCESS 0x52002000u
#define TWO_WAIT_STATES (2u | 2u << 4) /* at 200 MHz */
#define DEVICE_ID 0x5c001000u
#define AXI_SRAM_READS 0x51008108u

#define PORT_D 0x58020c00u
#define PORT_D_ENABLE (1u << 3)
#define USART3_ENABLE (1u << 18)

/* 64 MHz / 4 * 50 / 2 for the processor, half of it for memories and a quarter for peripherals. */
static void clock_init(void) {
    wait_for(RCC, HSI_READY, HSI_READY);
    change(CONFIGURATION, 7, 0); /* from the oscillator, should a bootloader have left the PLL */
    wait_for(CONFIGURATION, 7u << 3, 0);
    change(RCC, PLL_ON, 0);
    wait_for(RCC, PLL_READY, 0);

    change(POWER_SUPPLY, 7,
           2); /* by the regulator; the voltage may change only once this is said */
    wait_for(POWER_STATUS, VOLTAGE_READY, VOLTAGE_READY);
    change(POWER_DOMAIN3, SCALE_1, SCALE_1);
    wait_for(POWER_DOMAIN3, VOLTAGE_READY, VOLTAGE_READY);

    change(PLL_SOURCE, 3u | 63u << 4, 4u << 4);
    REGISTER(PLL_OPTIONS) = 1u << 16 | 3u << 2; /* output P alone; from 8 to 16 MHz */
    REGISTER(PLL_DIVISORS) = (50u - 1) | (2u - 1) << 9 | 1u << 16 | 1u << 24;
    change(RCC, 0, PLL_ON);
    wait_for(RCC, PLL_READY, PLL_READY);

    REGISTER(FLASH_ACCESS) = TWO_WAIT_STATES;
    wait_for(FLASH_ACCESS, 0x3f, TWO_WAIT_STATES);
    REGISTER(DOMAIN1) = 8u | 4u << 4;
    REGISTER(DOMAIN2) = 4u << 4 | 4u << 8;
    REGISTER(DOMAIN3) = 4u << 4;
    change(CONFIGURATION, 7, 3);
    wait_for(CONFIGURATION, 7u << 3, 3u << 3);
}

void board_init(void) {
    /* Erratum 2.2.9 (ES0392): AXI SRAM of the first revision may give wrong data otherwise. */
    if (REGISTER(DEVICE_ID) >> 16 < 0x2000)
        REGISTER(AXI_SRAM_READS) = 1;
    clock_init();
    caches_on();
    clock_on(AHB4_ENABLE, PORT_D_ENABLE);
    clock_on(APB1_ENABLE, USART3_ENABLE);
    pin_to_peripheral(PORT_D, 8, 7);
    pin_to_peripheral(PORT_D, 9, 7);
}
