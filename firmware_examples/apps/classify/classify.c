/* A line of text in; its label, how sure the model is, and the cycles that took, out. */
#include "answer.h"
#include "board.h"
#include "console.h"
#include "engine.h"

static void print_result(const eb_model *model, const float *logits) {
    const uint32_t count = eb_model_config(model)->num_labels;
    if (eb_model_config(model)->task == EB_TASK_REGRESSION) {
        print_fraction(logits[0], 3);
        return;
    }
    const answer a = answer_from(logits, count);
    size_t size;
    const char *label = eb_model_label(model, a.label, &size);
    print_bytes(label, size);
    print(" ");
    print_fraction(a.probability, 2);
}

int main(void) {
    static char line[LINE];
    static float logits[MAX_LABELS];
    const engine e = engine_open();
    if (!labels_fit(e.model))
        return 2;
    print("edgebert: type a line\n");
    for (;;) {
        print("> ");
        const int size = console_line(line, sizeof line, 1);
        if (size == CONSOLE_TOO_LONG) {
            print("line too long: ");
            print_number(sizeof line);
            print(" bytes at most\n");
        }
        if (size <= 0)
            continue;
        const eb_text text = {line, (size_t)size, NULL, 0};
        eb_report report;
        const uint64_t begin = board_cycles();
        const eb_status status =
            eb_classify(e.model, &text, e.arena, e.arena_size, logits, NULL, &report);
        const uint64_t cycles = board_cycles() - begin;
        if (status != EB_OK) {
            print(eb_status_text(status));
            print("\n");
            continue;
        }
        print_result(e.model, logits);
        print(" ");
        print_number(cycles);
        if (report.num_dropped) {
            print(" without the last ");
            print_number(report.num_dropped);
            print(" tokens");
        }
        print("\n");
    }
}
