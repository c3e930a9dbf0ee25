/* The least that a test program needs. CHECK counts; the summary is the program's exit status. */
#ifndef EB_CHECK_H
#define EB_CHECK_H

#include <stdio.h>

static unsigned passed, failed;

/* Reports the first failures with their place; `...` is printf's, and says what was tried. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (condition) {                                                                           \
            passed++;                                                                              \
        } else if (failed++ < 10) {                                                                \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);                \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

static int summary(void) {
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}

#endif
