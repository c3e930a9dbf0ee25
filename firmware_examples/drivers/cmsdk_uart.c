/* UART of Arm's Cortex-M System Design Kit (DDI 0479), as on the MPS2 and MPS3 boards. */
#include "board.h"

typedef struct uart {
    volatile uint32_t data, state, control, interrupt, divisor;
} uart;

#define UART ((uart *)UART_BASE)
#define TRANSMIT_FULL 1u
#define RECEIVE_FULL 2u

void uart_init(void) {
    UART->divisor = UART_HZ / 115200;
    UART->control = 3; /* transmit and receive */
}

uint8_t uart_read(void) {
    while (!(UART->state & RECEIVE_FULL))
        ;
    return (uint8_t)UART->data;
}

void uart_write(uint8_t byte) {
    while (UART->state & TRANSMIT_FULL)
        ;
    UART->data = byte;
}
