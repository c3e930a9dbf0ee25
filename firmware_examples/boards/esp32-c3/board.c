/* ESP32-C3 at 160 MHz, started straight from flash. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Twice this, in front of the first instruction, asks the ROM for direct boot. */
#define DIRECT_BOOT 0xaedb041du
__attribute__((section(".boot"), used)) static const uint32_t magic[] = {DIRECT_BOOT, DIRECT_BOOT};

#define RTC_WATCHDOG 0x60008090
#define RTC_WATCHDOG_LOCK 0x600080a8
#define SUPER_WATCHDOG 0x600080ac
#define SUPER_WATCHDOG_LOCK 0x600080b0
#define TIMER_WATCHDOG(group) (0x6001f048 + 0x1000 * (group))
#define TIMER_WATCHDOG_LOCK(group) (0x6001f064 + 0x1000 * (group))
#define WATCHDOG_KEY 0x50d83aa1u
#define SUPER_WATCHDOG_KEY 0x8f1d312au
#define FEEDS_ITSELF (1u << 31)
#define TAKE_OVER (1u << 22)

#define PROCESSOR_CLOCK REGISTER(0x600c0008)
#define SYSTEM_CLOCK REGISTER(0x600c0058)
#define FROM_PLL (1u << 10)

static void write_locked(uint32_t address, uint32_t value, uint32_t lock, uint32_t key) {
    REGISTER(lock) = key;
    REGISTER(address) = value;
    REGISTER(lock) = 0;
}

/* The ROM leaves them on, for a bootloader to turn them off. */
static void watchdogs_off(void) {
    write_locked(RTC_WATCHDOG, 0, RTC_WATCHDOG_LOCK, WATCHDOG_KEY);
    write_locked(SUPER_WATCHDOG, REGISTER(SUPER_WATCHDOG) | FEEDS_ITSELF, SUPER_WATCHDOG_LOCK,
                 SUPER_WATCHDOG_KEY);
    for (uint32_t group = 0; group < 2; group++)
        write_locked(TIMER_WATCHDOG(group), TAKE_OVER, TIMER_WATCHDOG_LOCK(group), WATCHDOG_KEY);
}

void board_init(void) {
    watchdogs_off();
    /* Technical reference, chapter 6.2.4.1: 480 MHz / 3. The ROM has started the PLL, which also
     * clocks USB; the UART's clock is the crystal. */
    PROCESSOR_CLOCK = (PROCESSOR_CLOCK & ~3u) | 1u << 2 | 1u;
    SYSTEM_CLOCK = (SYSTEM_CLOCK & ~(3u << 10)) | FROM_PLL;
}
