/* The tokenizer as a WebAssembly module of one tokenizer, with memory that only grows. edgebert.mjs
 * calls it. */
#include "sequence.h"

#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define PAGE_SIZE 65536u
#define MAX_TOKEN_BYTES (2 + EB_MAX_WORD_BYTES)

/* What edgebert.mjs reads: four 32-bit numbers. */
typedef struct sequence {
    uint8_t *bytes;   /* of the tokens, one after another */
    uint32_t *ends;   /* of each token in bytes */
    uint32_t count;   /* tokens, [CLS] and [SEP] included */
    uint32_t dropped; /* tokens of the text beyond the limit */
} sequence;

extern uint8_t __heap_base; /* where the linker's own data end */
static uintptr_t heap_end;

static __attribute__((aligned(EB_ALIGNMENT))) eb_tokenizer handle;
static eb_tokenizer *tokenizer;
static eb_tokens tokens;
static uint8_t *types;
static sequence result;

/* Memory of this many bytes, or NULL. */
EXPORT("allocate") void *allocate(size_t size) {
    const uintptr_t start = heap_end ? heap_end : (uintptr_t)&__heap_base;
    const uintptr_t present = __builtin_wasm_memory_size(0) * PAGE_SIZE;
    const uintptr_t aligned = (start + 15) & ~(uintptr_t)15;
    if (size > UINTPTR_MAX - PAGE_SIZE - aligned)
        return NULL;
    if (aligned + size > present) {
        const size_t pages = (aligned + size - present + PAGE_SIZE - 1) / PAGE_SIZE;
        if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX)
            return NULL;
    }
    heap_end = aligned + size;
    return (void *)aligned;
}

/* Opens a tokenizer section, which must stay where it is; returns an eb_status. */
EXPORT("open_tokenizer")
eb_status open_tokenizer(const uint8_t *section, size_t size, uint32_t max_tokens) {
    tokens.bytes_capacity = max_tokens * MAX_TOKEN_BYTES;
    tokens.bytes = allocate(tokens.bytes_capacity);
    tokens.ends_capacity = max_tokens;
    tokens.ends = allocate(max_tokens * sizeof *tokens.ends);
    types = allocate(max_tokens);
    if (!tokens.bytes || !tokens.ends || !types)
        return EB_ERROR_MEMORY;
    return eb_tokenizer_open(section, size, &handle, sizeof handle, &tokenizer);
}

/* [CLS] text [SEP] of UTF-8, cut to max_tokens; what it returns holds until the next call. */
EXPORT("tokenize") const sequence *tokenize(const char *text, size_t size) {
    const eb_text single = {text, size, NULL, 0};
    eb_sequence(tokenizer, &single, tokens.ends_capacity, &tokens, types, &result.dropped);
    result.bytes = tokens.bytes;
    result.ends = tokens.ends;
    result.count = tokens.count;
    return &result;
}

void *memmove(void *to, const void *from, size_t size) {
    uint8_t *const a = to;
    const uint8_t *const b = from;
    if (a < b)
        for (size_t i = 0; i < size; i++)
            a[i] = b[i];
    else
        for (size_t i = size; i > 0; i--)
            a[i - 1] = b[i - 1];
    return to;
}

void *memcpy(void *to, const void *from, size_t size) {
    return memmove(to, from, size);
}

void *memset(void *to, int value, size_t size) {
    uint8_t *const bytes = to;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *const left = a, *const right = b;
    for (size_t i = 0; i < size; i++)
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    return 0;
}

size_t strlen(const char *text) {
    size_t size = 0;
    while (text[size])
        size++;
    return size;
}
