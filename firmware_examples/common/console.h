/* Text on the serial line. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stddef.h>
#include <stdint.h>

void print(const char *text);
void print_bytes(const void *bytes, size_t count);
void print_number(uint64_t number);
void print_hex(uint32_t number);          /* eight digits */
void print_fraction(float x, int places); /* |x| < 2^31 / 10^places */

#define CONSOLE_TOO_LONG (-1)
#define CONSOLE_END (-2) /* Ctrl-D at the start of a line */

/* Reads a line of any bytes, which CR or LF ends, and returns how many they are. More than size
 * are read but not stored. echo: shows what is typed, and lets backspace take it back. */
int console_line(char *line, int size, int echo);

#endif
