/* STM32F746ZG at 216 MHz; the ST-LINK's serial port is at USART3, PD8 and PD9. */
#include "board.h"
#include "cores/cortex_m/caches.h"
#include "drivers/stm32.h"
#include "drivers/stm32f4_clock.h"

#define PORT_D 0x40020c00u
#define PORT_D_ENABLE (1u << 3)
#define USART3_ENABLE (1u << 18)
#define WAIT_STATES 7

void board_init(void) {
    caches_on();
    stm32f4_clock(CORE_HZ / 1000000, WAIT_STATES | FLASH_PREFETCH | FLASH_F7_ART);
    clock_on(AHB1_ENABLE, PORT_D_ENABLE);
    clock_on(APB1_ENABLE, USART3_ENABLE);
    pin_to_peripheral(PORT_D, 8, 7);
    pin_to_peripheral(PORT_D, 9, 7);
}
