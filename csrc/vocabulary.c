#include "vocabulary.h"

#define HEADER_SIZE 16
#define CODES_SIZE 512 /* also the room behind the edges in which the last one may seem to go on   \
                        */
#define SHARED_SIZE 3  /* of one entry */
#define ESCAPE 255     /* this code is followed by the edge's kind and label */

/* An edge's kind: the number of bytes of its distance, 0 to 3, and flags. */
#define DISTANCE_SIZE 3
#define VARIANT 4 /* with no distance: no child; with one byte: an index into shared */
#define FINAL 8   /* a piece ends here */
#define LAST 16   /* of the state's edges */

static uint32_t read_u24(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
}

static uint32_t read_u32(const uint8_t *at) {
    return read_u24(at) | (uint32_t)at[3] << 24;
}

eb_status eb_vocabulary_open(const uint8_t *data, size_t size, eb_vocabulary *vocabulary) {
    if (!data || !vocabulary)
        return EB_ERROR_ARGUMENT;
    if (size < HEADER_SIZE + CODES_SIZE)
        return EB_ERROR_TRUNCATED;
    vocabulary->edges_size = read_u32(data);
    vocabulary->roots[0] = read_u32(data + 4);
    vocabulary->roots[1] = read_u32(data + 8);
    vocabulary->num_shared = read_u32(data + 12);
    const size_t rest = size - HEADER_SIZE - CODES_SIZE;
    if (vocabulary->edges_size > rest || (rest - vocabulary->edges_size) % SHARED_SIZE ||
        (rest - vocabulary->edges_size) / SHARED_SIZE != vocabulary->num_shared ||
        vocabulary->roots[0] > vocabulary->edges_size ||
        vocabulary->roots[1] > vocabulary->edges_size)
        return EB_ERROR_CORRUPT;
    vocabulary->edges = data + HEADER_SIZE;
    vocabulary->codes = vocabulary->edges + vocabulary->edges_size;
    vocabulary->shared = vocabulary->codes + CODES_SIZE;
    return EB_OK;
}

/* Where the child of an edge begins, whose distance lies at `at`; edges_size if it has none. A
 * child lies behind its parent, and so every search ends. */
static size_t child_of(const eb_vocabulary *vocabulary, unsigned kind, size_t at) {
    const unsigned size = kind & DISTANCE_SIZE;
    const uint8_t *operand = vocabulary->edges + at;
    const size_t behind = at + size, none = vocabulary->edges_size;
    if (kind & VARIANT) {
        if (size == 0 || operand[0] >= vocabulary->num_shared)
            return none;
        const size_t child = read_u24(vocabulary->shared + SHARED_SIZE * operand[0]);
        return child < behind ? none : child;
    }
    return behind + (read_u24(operand) & ((1u << 8 * size) - 1));
}

size_t eb_vocabulary_longest(const eb_vocabulary *vocabulary, int continuation, const uint8_t *word,
                             size_t size) {
    const uint8_t *edges = vocabulary->edges, *codes = vocabulary->codes;
    size_t at = vocabulary->roots[continuation != 0], longest = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned kind, label;
        do {
            if (at >= vocabulary->edges_size)
                return longest;
            const uint8_t *pair = codes + 2 * edges[at];
            if (edges[at] == ESCAPE) {
                pair = edges + at + 1;
                at += 2;
            }
            kind = pair[0];
            label = pair[1];
            at += 1 + (kind & DISTANCE_SIZE);
        } while (label != word[i] && !(kind & LAST));
        if (label != word[i])
            break;
        if (kind & FINAL)
            longest = i + 1;
        at = child_of(vocabulary, kind, at - (kind & DISTANCE_SIZE));
    }
    return longest;
}

int eb_vocabulary_has(const eb_vocabulary *vocabulary, int continuation, const uint8_t *piece,
                      size_t size) {
    return size > 0 && eb_vocabulary_longest(vocabulary, continuation, piece, size) == size;
}
