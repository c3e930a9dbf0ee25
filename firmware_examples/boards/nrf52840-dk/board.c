/* nRF52840, always at 64 MHz; the debugger's serial port is at P0.06 and P0.08. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define START_CRYSTAL REGISTER(0x40000000)
#define CRYSTAL_STARTED REGISTER(0x40000100)
#define INSTRUCTION_CACHE REGISTER(0x4001e540)
#define PORT_SET REGISTER(0x50000508)
#define PIN(number) REGISTER(0x50000700 + 4 * (number))
#define OUTPUT 3u /* and no input */
#define INPUT_PULLED_UP (3u << 2)

void board_init(void) {
    INSTRUCTION_CACHE = 1;
    START_CRYSTAL = 1; /* the UART's time: the oscillator of the reset is off by up to 8% */
    while (!CRYSTAL_STARTED)
        ;
    PORT_SET = 1u << UART_PIN_TRANSMIT; /* a line that rests is high */
    PIN(UART_PIN_TRANSMIT) = OUTPUT;
    PIN(UART_PIN_RECEIVE) = INPUT_PULLED_UP;
}
