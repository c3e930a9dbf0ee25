#include "vocabulary.h"

#define HEADER_SIZE 8
#define CODES_SIZE (2 * 256)
#define FIRSTS_SIZE (2 * 256 * 4)
#define OFFSET_SIZE 3         /* of an entry of shared */
#define FINAL_FIRST (1 << 24) /* in an entry of firsts: a piece ends here; below, an offset */
#define ESCAPE 255            /* this code is followed by the edge's kind and label */
#define MAX_STATE (256 * 6)   /* bytes of a state: an edge for each label, of at most 6 bytes */

/* An edge's kind: the number of bytes of its distance, 0 to 3, and flags. */
#define DISTANCE_SIZE 3
#define VARIANT 4 /* with one byte: an index into shared instead; else no child */
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
    if (size < HEADER_SIZE + CODES_SIZE + FIRSTS_SIZE)
        return EB_ERROR_TRUNCATED;
    const size_t rest = size - HEADER_SIZE - CODES_SIZE - FIRSTS_SIZE;
    const uint32_t edges_size = read_u32(data), num_shared = read_u32(data + 4);
    if (edges_size > rest || (rest - edges_size) % OFFSET_SIZE ||
        (rest - edges_size) / OFFSET_SIZE != num_shared)
        return EB_ERROR_CORRUPT;
    vocabulary->edges = data + HEADER_SIZE;
    vocabulary->codes = vocabulary->edges + edges_size;
    vocabulary->firsts = vocabulary->codes + CODES_SIZE;
    vocabulary->shared = vocabulary->firsts + FIRSTS_SIZE;
    vocabulary->edges_size = edges_size;
    vocabulary->num_shared = num_shared;
    return EB_OK;
}

/* Where the edges of a child begin, given the kind of the edge to it and where that edge's distance
 * lies; edges_size if there is no child. Never before the end of the edge, so searches end. */
static size_t child_of(const eb_vocabulary *vocabulary, unsigned kind, size_t at) {
    const unsigned size = kind & DISTANCE_SIZE;
    const uint8_t *operand = vocabulary->edges + at;
    const size_t end = at + size;
    if (!(kind & VARIANT))
        return end + (read_u24(operand) & ((1u << 8 * size) - 1));
    if (size != 1 || operand[0] >= vocabulary->num_shared)
        return vocabulary->edges_size;
    const size_t child = read_u24(vocabulary->shared + OFFSET_SIZE * operand[0]);
    return child < end ? vocabulary->edges_size : child;
}

size_t eb_vocabulary_longest(const eb_vocabulary *vocabulary, int continuation, const uint8_t *word,
                             size_t size) {
    const uint8_t *const edges = vocabulary->edges, *const codes = vocabulary->codes;
    if (size == 0)
        return 0;
    const uint32_t first =
        read_u32(vocabulary->firsts + (continuation ? FIRSTS_SIZE / 2 : 0) + 4 * word[0]);
    size_t longest = first & FINAL_FIRST ? 1 : 0;
    size_t at = first & (FINAL_FIRST - 1);
    for (size_t i = 1; i < size; i++) {
        unsigned kind, label;
        const size_t most = at + MAX_STATE;
        const size_t end = most < vocabulary->edges_size ? most : vocabulary->edges_size;
        /* The tables behind the edges are longer than an edge, which may run beyond edges_size. */
        do {
            if (at >= end)
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
