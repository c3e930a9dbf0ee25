/* For each line of text: its tokens, its logits to the last bit, and the cycles from text to
 * logits. Ctrl-D at the start of a line ends it with what it took of the memory. */
#include "board.h"
#include "console.h"
#include "engine.h"
#include "stack.h"

#include <string.h>

#define MAX_LABELS 64

static void print_value(const char *name, uint64_t value) {
    print(name);
    print(" ");
    print_number(value);
    print("\n");
}

/* The arena holds them, as nothing else is in it between two runs. */
static void print_tokens(const engine *e, const eb_text *text, uint32_t num_tokens) {
    uint32_t *ends = e->arena;
    uint8_t *types = (uint8_t *)(ends + num_tokens), *bytes = types + num_tokens;
    const size_t room = e->arena_size - num_tokens * (sizeof *ends + sizeof *types);
    eb_tokens tokens = {bytes, (uint32_t)room, ends, num_tokens, NULL, 0, 0, 0};
    eb_sequence(eb_model_tokenizer(e->model), text, num_tokens, &tokens, types, NULL);
    print("tokens");
    for (uint32_t i = 0; i < tokens.count; i++) {
        const uint32_t begin = i ? ends[i - 1] : 0;
        print(" ");
        print_bytes(bytes + begin, ends[i] - begin);
    }
    print("\n");
}

static void print_logits(const float *logits, uint32_t count) {
    print("logits");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        print(" ");
        print_hex(bits);
    }
    print("\n");
}

int main(void) {
    static char line[LINE];
    static float logits[MAX_LABELS];
    stack_paint();
    uint64_t begin = board_cycles();
    const engine e = engine_open();
    print_value("open", board_cycles() - begin);
    const uint32_t num_labels = eb_model_config(e.model)->num_labels;
    int size;
    while ((size = console_line(line, sizeof line, 0)) != CONSOLE_END) {
        if (size == CONSOLE_TOO_LONG || num_labels > MAX_LABELS) {
            print("line too long, or too many labels\n");
            return 2;
        }
        const eb_text text = {line, (size_t)size, NULL, 0};
        eb_report report;
        begin = board_cycles();
        const eb_status status =
            eb_classify(e.model, &text, e.arena, e.arena_size, logits, NULL, &report);
        const uint64_t cycles = board_cycles() - begin;
        if (status != EB_OK) {
            print(eb_status_text(status));
            print("\n");
            return 2;
        }
        print_tokens(&e, &text, report.num_tokens);
        print_logits(logits, num_labels);
        print_value("cycles", cycles);
    }
    print_value("arena", e.arena_size);
    print_value("stack", stack_peak());
    print_value("stack_size", stack_size());
    return 0;
}
