/* UART of the ESP32-C3 (technical reference, chapter 26), as its ROM sets it up: 115200 baud. */
#include "board.h"

#define DATA (*(volatile uint32_t *)UART_BASE)
#define STATUS (*(volatile uint32_t *)(UART_BASE + 0x1c))
#define RECEIVED(status) ((status) & 0x3ff)
#define TO_TRANSMIT(status) ((status) >> 16 & 0x3ff)
#define FIFO_SIZE 128

void uart_init(void) {
}

uint8_t uart_read(void) {
    while (RECEIVED(STATUS) == 0)
        ;
    return (uint8_t)DATA;
}

void uart_write(uint8_t byte) {
    while (TO_TRANSMIT(STATUS) >= FIFO_SIZE - 1)
        ;
    DATA = byte;
}
