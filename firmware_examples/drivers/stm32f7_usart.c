/* USART of the STM32F7 and H7 (RM0385, chapter 31; RM0433, chapter 48). */
#include "board.h"

typedef struct usart {
    volatile uint32_t control1, control2, control3, baud_rate, guard_time, timeout, request, status,
        clear, received, transmit;
} usart;

#define USART ((usart *)UART_BASE)
#define RECEIVE_FULL (1u << 5)
#define TRANSMIT_EMPTY (1u << 7)
#define NO_OVERRUN (1u << 12) /* a byte too many replaces the last one; else all would stop */

void uart_init(void) {
    USART->control1 = 0;
    USART->baud_rate = (UART_HZ + 115200 / 2) / 115200;
    USART->control3 = NO_OVERRUN;
    USART->control1 = 1u << 3 | 1u << 2 | 1u; /* transmit, receive, on */
}

uint8_t uart_read(void) {
    while (!(USART->status & RECEIVE_FULL))
        ;
    return (uint8_t)USART->received;
}

void uart_write(uint8_t byte) {
    while (!(USART->status & TRANSMIT_EMPTY))
        ;
    USART->transmit = byte;
}
