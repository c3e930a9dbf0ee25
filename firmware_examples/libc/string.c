/* Words at a time where the addresses let them. */
#include <string.h>

#include <stdint.h>

typedef uint32_t word __attribute__((may_alias));

static int are_words(const void *a, const void *b) {
    return (((uintptr_t)a | (uintptr_t)b) % sizeof(word)) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    uint8_t *t = to;
    const uint8_t *f = from;
    if (are_words(t, f))
        for (; count >= sizeof(word); count -= sizeof(word), t += sizeof(word), f += sizeof(word))
            *(word *)(void *)t = *(const word *)(const void *)f;
    while (count--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t count) {
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((uintptr_t)to <= (uintptr_t)from)
        return memcpy(to, from, count); /* which copies from front to back */
    while (count--)
        t[count] = f[count];
    return to;
}

void *memset(void *to, int value, size_t count) {
    uint8_t *t = to;
    const word filled = (uint8_t)value * (word)0x01010101;
    if (are_words(t, t))
        for (; count >= sizeof(word); count -= sizeof(word), t += sizeof(word))
            *(word *)(void *)t = filled;
    while (count--)
        *t++ = (uint8_t)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t count) {
    const uint8_t *x = a, *y = b;
    for (; count; count--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *text) {
    size_t count = 0;
    while (text[count])
        count++;
    return count;
}
