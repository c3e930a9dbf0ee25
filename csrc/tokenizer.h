/* Pull iterator over the tokens of a text; private to csrc. */
#ifndef EB_TOKENIZER_H
#define EB_TOKENIZER_H

#include "edgebert.h"
#include "vocabulary.h"

#include <string.h>

struct eb_tokenizer {
    uint32_t kind;
    uint32_t lowercase;
    eb_vocabulary vocabulary;
};

#define EB_MAX_WORD_BYTES (4 * EB_MAX_WORD)

/* About 700 bytes; lives on the caller's stack. The text is read once, front to back. */
typedef struct eb_token_iter {
    const eb_tokenizer *tokenizer;
    const uint8_t *at, *end;              /* what is left of the text */
    uint16_t word_size;                   /* bytes of the current word */
    uint16_t word_length;                 /* its code points, at most EB_MAX_WORD + 1 */
    uint16_t run_start;                   /* where its last run of combining marks begins */
    uint16_t num_pieces, piece;           /* pieces that the word was split into, the next one */
    uint16_t piece_ends[EB_MAX_WORD];     /* offsets behind each piece */
    uint8_t bytes[2 + EB_MAX_WORD_BYTES]; /* room for "##", then the word */
} eb_token_iter;

void eb_token_iter_start(eb_token_iter *iter, const eb_tokenizer *tokenizer, const char *text,
                         size_t size);

/* 1 and the next token, whose bytes are valid until the next call; 0 at the end. */
int eb_token_iter_next(eb_token_iter *iter, const uint8_t **token, size_t *token_size);

/* Finds the words of a text to which tokens belong, on a way of its own behind a token iterator. */
typedef struct eb_word_iter {
    const uint8_t *text, *at, *end;
    eb_word word; /* the last one that was reached */
} eb_word_iter;

void eb_word_iter_start(eb_word_iter *iter, const char *text, size_t size);

/* The word of the token that an iterator over the same text gave last. */
eb_word eb_word_iter_reach(eb_word_iter *iter, const eb_token_iter *tokens);

/* Yields a token that is the same in every text. */
static inline int eb_token_literal(const char *name, const uint8_t **token, size_t *size) {
    *token = (const uint8_t *)name;
    *size = strlen(name);
    return 1;
}

/* Tokens whose pointers and capacities fit together. */
static inline int eb_tokens_are_sane(const eb_tokens *tokens) {
    return tokens && (tokens->bytes || !tokens->bytes_capacity) &&
           (tokens->ends || !tokens->ends_capacity);
}

/* Appends a token if there is room; counts it anyway. Returns whether it was stored; its word is
 * left to the caller. */
int eb_tokens_add(eb_tokens *tokens, const uint8_t *token, size_t size);

#endif
