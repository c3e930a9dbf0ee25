#include "console.h"

#include "board.h"

#define END_OF_TRANSMISSION 4
#define BACKSPACE 8
#define DELETE 127

void print_bytes(const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        uart_write(((const uint8_t *)bytes)[i]);
}

void print(const char *text) {
    for (; *text; text++) {
        if (*text == '\n')
            uart_write('\r');
        uart_write((uint8_t)*text);
    }
}

void print_number(uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    print_bytes(digits + at, sizeof digits - at);
}

void print_hex(uint32_t number) {
    for (int shift = 28; shift >= 0; shift -= 4)
        uart_write((uint8_t)"0123456789abcdef"[number >> shift & 15]);
}

void print_fraction(float x, int places) {
    uint32_t unit = 1;
    for (int i = 0; i < places; i++)
        unit *= 10;
    if (x < 0)
        print("-");
    const uint32_t scaled = (uint32_t)((x < 0 ? -x : x) * (float)unit + 0.5f);
    print_number(scaled / unit);
    print(".");
    for (unit /= 10; unit; unit /= 10)
        print_number(scaled / unit % 10);
}

/* Takes the last character back: one byte, and those that continue it in UTF-8. */
static int without_last(const char *line, int count) {
    while (count > 0 && ((uint8_t)line[--count] & 0xc0) == 0x80)
        ;
    return count;
}

int console_line(char *line, int size, int echo) {
    int count = 0;
    for (;;) {
        const uint8_t byte = uart_read();
        if (byte == '\r' || byte == '\n')
            break;
        if (count == 0 && byte == END_OF_TRANSMISSION)
            return CONSOLE_END;
        if (echo && (byte == BACKSPACE || byte == DELETE)) {
            if (count > 0 && count <= size) {
                count = without_last(line, count);
                print("\b \b");
            }
            continue;
        }
        if (count < size)
            line[count] = (char)byte;
        count += count <= size; /* one more says that it was too long */
        if (echo && byte >= ' ' && count <= size)
            uart_write(byte);
    }
    if (echo)
        print("\n");
    return count <= size ? count : CONSOLE_TOO_LONG;
}
