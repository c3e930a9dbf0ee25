/* UART of the nRF51 and nRF52 (nRF51 Series Reference Manual, chapter 29). */
#include "board.h"

#define REGISTER(offset) (*(volatile uint32_t *)(UART_BASE + (offset)))
#define START_RECEIVE REGISTER(0x000)
#define START_TRANSMIT REGISTER(0x008)
#define RECEIVED REGISTER(0x108)
#define TRANSMITTED REGISTER(0x11c)
#define ENABLE REGISTER(0x500)
#define PIN_TRANSMIT REGISTER(0x50c)
#define PIN_RECEIVE REGISTER(0x514)
#define RECEIVE_DATA REGISTER(0x518)
#define TRANSMIT_DATA REGISTER(0x51c)
#define BAUD_RATE REGISTER(0x524)
#define BAUD_115200 0x01d7e000u

void uart_init(void) {
    PIN_TRANSMIT = UART_PIN_TRANSMIT;
    PIN_RECEIVE = UART_PIN_RECEIVE;
    BAUD_RATE = BAUD_115200;
    ENABLE = 4;
    START_RECEIVE = 1;
    START_TRANSMIT = 1;
}

uint8_t uart_read(void) {
    while (!RECEIVED)
        ;
    RECEIVED = 0;
    return (uint8_t)RECEIVE_DATA;
}

void uart_write(uint8_t byte) {
    TRANSMITTED = 0;
    TRANSMIT_DATA = byte;
    while (!TRANSMITTED)
        ;
}
