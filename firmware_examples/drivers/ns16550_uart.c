/* The 16550 with registers a byte apart, as on QEMU's virt. */
#include "board.h"

#define REGISTER(offset) (*(volatile uint8_t *)(UART_BASE + (offset)))
#define DATA REGISTER(0)
#define LINE_CONTROL REGISTER(3)
#define LINE_STATUS REGISTER(5)
#define RECEIVED 1u
#define TRANSMIT_EMPTY 32u

void uart_init(void) {
    LINE_CONTROL = 3; /* eight bits */
}

uint8_t uart_read(void) {
    while (!(LINE_STATUS & RECEIVED))
        ;
    return DATA;
}

void uart_write(uint8_t byte) {
    while (!(LINE_STATUS & TRANSMIT_EMPTY))
        ;
    DATA = byte;
}
