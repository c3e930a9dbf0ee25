/* STM32F446RE at 180 MHz; the ST-LINK's serial port is at USART2, PA2 and PA3. */
#include "board.h"
#include "drivers/stm32.h"
#include "drivers/stm32f4_clock.h"

#define PORT_A 0x40020000u
#define PORT_A_ENABLE (1u << 0)
#define USART2_ENABLE (1u << 17)
#define WAIT_STATES 5

void board_init(void) {
    stm32f4_clock(CORE_HZ / 1000000,
                  WAIT_STATES | FLASH_PREFETCH | FLASH_F4_INSTRUCTION_CACHE | FLASH_F4_DATA_CACHE);
    clock_on(AHB1_ENABLE, PORT_A_ENABLE);
    clock_on(APB1_ENABLE, USART2_ENABLE);
    pin_to_peripheral(PORT_A, 2, 7);
    pin_to_peripheral(PORT_A, 3, 7);
}
