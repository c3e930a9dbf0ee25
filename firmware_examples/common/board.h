/* What a board gives to an app. The sources that board.toml lists implement it. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Clocks, pins and all else that must be set up before the console: nothing, unless the board's
 * folder says otherwise. */
void board_init(void);

/* The console, any byte value. Reading and writing wait until the byte is there or gone. */
void uart_init(void);
uint8_t uart_read(void);
void uart_write(uint8_t byte);

/* A counter that never goes back; TIMER_HZ of board.toml says how fast it is. */
void timer_init(void);
uint64_t timer_ticks(void);

/* Cycles of the processor; under an emulator, which takes one for each, instructions. */
uint64_t board_cycles(void);

/* Ends the emulator with this status, or stops the processor. */
void board_exit(int status) __attribute__((noreturn));

#endif
