/* Zephyr's lines from a console, on a host; the end of the input ends the program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void console_getline_init(void) {
}

static inline char *console_getline(void) {
    static char line[1024];
    if (!fgets(line, sizeof line, stdin))
        exit(0);
    line[strcspn(line, "\n")] = '\0';
    return line;
}
