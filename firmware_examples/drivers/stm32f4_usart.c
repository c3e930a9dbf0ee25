/* USART of the STM32F4 and its elders (RM0090, chapter 30). */
#include "board.h"

typedef struct usart {
    volatile uint32_t status, data, baud_rate, control1, control2, control3;
} usart;

#define USART ((usart *)UART_BASE)
#define RECEIVE_FULL (1u << 5)
#define TRANSMIT_EMPTY (1u << 7)

void uart_init(void) {
    USART->baud_rate = (UART_HZ + 115200 / 2) / 115200;
    USART->control1 = 1u << 13 | 1u << 3 | 1u << 2; /* on, transmit, receive */
}

uint8_t uart_read(void) {
    while (!(USART->status & RECEIVE_FULL))
        ;
    return (uint8_t)USART->data;
}

void uart_write(uint8_t byte) {
    while (!(USART->status & TRANSMIT_EMPTY))
        ;
    USART->data = byte;
}
