/* Clocks of the STM32F4 with over-drive (RM0390) and of the STM32F7 (RM0385), which are alike. */
#ifndef STM32F4_CLOCK_H
#define STM32F4_CLOCK_H

#include <stdint.h>

#define RCC 0x40023800u
#define AHB1_ENABLE (RCC + 0x30)
#define APB1_ENABLE (RCC + 0x40)

/* Flash access: its wait states at that speed, and caches. */
#define FLASH_PREFETCH (1u << 8)
#define FLASH_F4_INSTRUCTION_CACHE (1u << 9)
#define FLASH_F4_DATA_CACHE (1u << 10)
#define FLASH_F7_ART (1u << 9)

/* Runs the processor at so many MHz, up to 216, with APB1 at a quarter and APB2 at half of that. */
void stm32f4_clock(uint32_t megahertz, uint32_t flash_access);

#endif
