/* Threads that share one open model, each with its own arena, get the answer that one alone gets.
 * Built under ThreadSanitizer, which reports any write that they could meet in. Arguments: .ebm
 * files. */
#include "allocate.h"
#include "check.h"

#include <pthread.h>

#define NUM_THREADS 8
#define NUM_RUNS 20
#define NUM_TOKENS 16
#define MAX_LABELS 16

static const eb_text pair = {"An unexpectedly gripping film", 29, "that ends well", 14};

typedef struct task {
    const eb_model *model;
    float logits[MAX_LABELS];
    int failures;
} task;

static void *classify(void *argument) {
    task *t = argument;
    size_t arena_size = 0;
    t->failures += eb_arena_size(t->model, NUM_TOKENS, &arena_size) != EB_OK;
    void *arena = allocate(arena_size);
    for (int i = 0; i < NUM_RUNS; i++)
        t->failures +=
            eb_classify(t->model, &pair, arena, arena_size, t->logits, NULL, NULL) != EB_OK;
    free(arena);
    return NULL;
}

static void test_threads_share_a_model(const eb_model *model) {
    task alone = {.model = model}, tasks[NUM_THREADS];
    pthread_t threads[NUM_THREADS];
    classify(&alone);
    CHECK(alone.failures == 0, "%d failures of one thread", alone.failures);
    for (int i = 0; i < NUM_THREADS; i++) {
        tasks[i] = (task){.model = model};
        if (pthread_create(&threads[i], NULL, classify, &tasks[i]))
            abort();
    }
    for (int i = 0; i < NUM_THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(tasks[i].failures == 0, "%d failures of thread %d", tasks[i].failures, i);
        CHECK(memcmp(tasks[i].logits, alone.logits, sizeof alone.logits) == 0, "thread %d", i);
    }
}

static void test_file(const char *path) {
    const size_t most = 1 << 20;
    FILE *stream = fopen(path, "rb");
    CHECK(stream, "cannot open %s", path);
    if (!stream)
        return;
    uint8_t *file = allocate(most);
    const size_t size = fread(file, 1, most, stream);
    fclose(stream);
    size_t handle_size = 0;
    eb_model *model = NULL;
    CHECK(eb_model_size(file, size, &handle_size) == EB_OK, "size of %s", path);
    void *handle = allocate(handle_size);
    CHECK(eb_model_open(file, size, handle, handle_size, &model) == EB_OK, "open %s", path);
    if (model && eb_model_config(model)->num_labels <= MAX_LABELS)
        test_threads_share_a_model(model);
    CHECK(model && eb_model_config(model)->num_labels <= MAX_LABELS, "more labels than room");
    free(handle);
    free(file);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: test_threads FILE.ebm ...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++)
        test_file(argv[i]);
    return summary();
}
