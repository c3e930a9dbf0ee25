#include "engine.h"

#include "board.h"
#include "console.h"

extern const uint8_t model_file[], model_file_end[];

/* The model's handle, then the arena. The Makefile knows how many bytes both need. */
static uint8_t memory[MEMORY] __attribute__((aligned(EB_ALIGNMENT)));

static void fail_unless(int is_right, const char *what) {
    if (is_right)
        return;
    print("model: ");
    print(what);
    print("\n");
    board_exit(2);
}

engine engine_open(void) {
    const size_t file_size = (size_t)(model_file_end - model_file);
    size_t handle_size = 0, arena_size = 0;
    eb_model *model = NULL;
    eb_status status = eb_model_size(model_file, file_size, &handle_size);
    if (status == EB_OK)
        status = eb_model_open(model_file, file_size, memory, sizeof memory, &model);
    fail_unless(status == EB_OK, eb_status_text(status));

    const uint32_t most = eb_model_config(model)->max_position_embeddings;
    status = eb_arena_size(model, TOKENS < most ? TOKENS : most, &arena_size);
    fail_unless(status == EB_OK, eb_status_text(status));
    fail_unless(handle_size + arena_size <= sizeof memory,
                "no memory for so many tokens: build with more MEMORY or fewer TOKENS");
    return (engine){model, memory + handle_size, arena_size};
}
