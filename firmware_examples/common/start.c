#include "start.h"

#include "board.h"
#include "console.h"

extern uint32_t data_start[], data_end[], bss_start[], bss_end[];
extern const uint32_t data_in_flash[];

int main(void);

__attribute__((weak)) void board_init(void) {
}

void start(void) {
    const uint32_t *from = data_in_flash;
    for (uint32_t *to = data_start; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    board_init();
    uart_init();
    timer_init();
    board_exit(main());
}

void fault(uint32_t address) {
    print("\nfault at ");
    print_hex(address);
    print("\n");
    board_exit(3);
}

uint64_t board_cycles(void) {
    const uint64_t ticks = timer_ticks();
    return ticks / TIMER_HZ * CORE_HZ + ticks % TIMER_HZ * CORE_HZ / TIMER_HZ;
}
