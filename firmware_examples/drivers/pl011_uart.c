/* Arm's PrimeCell UART (DDI 0183), as in the RP2040 and RP2350. */
#include "board.h"

#define REGISTER(offset) (*(volatile uint32_t *)(UART_BASE + (offset)))
#define DATA REGISTER(0x00)
#define FLAGS REGISTER(0x18)
#define RECEIVE_EMPTY (1u << 4)
#define TRANSMIT_FULL (1u << 5)
#define DIVISOR REGISTER(0x24)
#define DIVISOR_64THS REGISTER(0x28)
#define LINE_CONTROL REGISTER(0x2c)
#define EIGHT_BITS_AND_FIFOS (3u << 5 | 1u << 4)
#define CONTROL REGISTER(0x30)
#define ON (1u << 0)
#define TRANSMIT (1u << 8)
#define RECEIVE (1u << 9)

void uart_init(void) {
    const uint32_t in_64ths = (4u * UART_HZ + 115200 / 2) / 115200; /* of sixteen a bit */
    DIVISOR = in_64ths / 64;
    DIVISOR_64THS = in_64ths % 64;
    LINE_CONTROL = EIGHT_BITS_AND_FIFOS; /* takes over the divisors */
    CONTROL = ON | TRANSMIT | RECEIVE;
}

uint8_t uart_read(void) {
    while (FLAGS & RECEIVE_EMPTY)
        ;
    return (uint8_t)DATA;
}

void uart_write(uint8_t byte) {
    while (FLAGS & TRANSMIT_FULL)
        ;
    DATA = byte;
}
