// What the example takes of Arduino's core, on a host; the end of the input ends the program.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct Console {
    void begin(unsigned long) {
    }
    operator bool() {
        return true;
    }
    size_t readBytesUntil(char end, char *bytes, size_t capacity) {
        size_t size = 0;
        for (int c; size < capacity && (c = getchar()) != end; bytes[size++] = (char)c)
            if (c == EOF)
                exit(0);
        return size;
    }
    size_t write(const uint8_t *bytes, size_t size) {
        return fwrite(bytes, 1, size, stdout);
    }
    void print(const char *text) {
        fputs(text, stdout);
    }
    void print(unsigned long number) {
        printf("%lu", number);
    }
    void println(const char *text) {
        puts(text);
    }
};
extern Console Serial;

static inline unsigned long millis() {
    return 0;
}
static inline void delay(unsigned long) {
}
void setup();
void loop();
