/* Fuzzes the firmware's console: the first byte of the input chooses the app, and the rest comes in
 * on the serial line. Whatever that was, the app goes on, and answers the next line as it would
 * have at first. */
#include "fuzz.h"

#include <setjmp.h>

#define TOKENS 16
#define LINE 64
#define MEMORY (1 << 18)

#include "../../firmware_examples/common/answer.c"
#include "../../firmware_examples/common/console.c"
#include "../../firmware_examples/common/engine.c"

#define main classify_main
#include "../../firmware_examples/apps/classify/classify.c"
#undef main
#define main intent_main
#include "../../firmware_examples/apps/intent/intent.c"
#undef main

/* A model that has labels and tags, in the program as it is in flash. */
__asm__(".section .rodata\n"
        ".balign 16\n"
        ".globl model_file, model_file_end\n"
        "model_file: .incbin \"../../edgebert/data/intent.ebm\"\n"
        "model_file_end:\n"
        ".previous\n");

#define WITNESS "\nwill it rain in paris\n"
#define SCREEN 128

static int (*const apps[])(void) = {classify_main, intent_main};
#define NUM_APPS (sizeof apps / sizeof apps[0])

static struct {
    const uint8_t *input, *end;
    const char *then;
    char screen[SCREEN]; /* what was written last, as a ring */
    size_t written;
} serial;
static jmp_buf unplugged;
static char expected[NUM_APPS][SCREEN];

uint8_t uart_read(void) {
    if (serial.input != serial.end)
        return *serial.input++;
    if (!*serial.then)
        longjmp(unplugged, 1);
    return (uint8_t)*serial.then++;
}

void uart_write(uint8_t byte) {
    serial.screen[serial.written++ % SCREEN] = (char)byte;
}

uint64_t board_cycles(void) {
    return 0;
}

void board_exit(int status) {
    fprintf(stderr, "the app ended with %d\n", status);
    abort();
}

/* The last of what the app writes at this input and the witness. */
static void last_written(size_t app, const uint8_t *data, size_t size, char *last) {
    memset(&serial, 0, sizeof serial);
    serial.input = data;
    serial.end = data + size;
    serial.then = WITNESS;
    if (!setjmp(unplugged))
        REQUIRE(apps[app]() < 0); /* apps do not return */
    for (size_t i = 0; i < SCREEN; i++)
        last[i] = serial.screen[(serial.written + i) % SCREEN];
}

/* From where the app echoes the witness on. */
static const char *answer_to_witness(const char *last) {
    const char *found = last;
    for (size_t i = 1; i + sizeof WITNESS < SCREEN; i++)
        if (memcmp(last + i, &WITNESS[1], sizeof WITNESS - 3) == 0)
            found = last + i;
    REQUIRE(found != last);
    return found;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    for (size_t app = 0; app < NUM_APPS; app++)
        last_written(app, (const uint8_t *)"", 0, expected[app]);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char last[SCREEN];
    if (size == 0)
        return 0;
    const size_t app = data[0] % NUM_APPS;
    last_written(app, data + 1, size - 1, last);
    const char *first = answer_to_witness(expected[app]);
    const size_t at = (size_t)(first - expected[app]);
    REQUIRE(memcmp(last + at, first, SCREEN - at) == 0);
    return 0;
}
