/* Pull iterator over the tokens of a model input; private to csrc. */
#ifndef EB_SEQUENCE_H
#define EB_SEQUENCE_H

#include "edgebert.h"
#include "tokenizer.h"

typedef struct eb_sequence_iter {
    eb_token_iter tokens; /* over text->a, then text->b */
    eb_word_iter words;   /* of text->a */
    const eb_tokenizer *tokenizer;
    const eb_text *text;
    uint32_t room[2];     /* tokens that a and b may still yield */
    uint32_t num_dropped; /* tokens passed over so far */
    int state;
    int has_word; /* whether the last token is one of text->a */
} eb_sequence_iter;

/* max_tokens is at least 3 for a pair, else 2. */
void eb_sequence_start(eb_sequence_iter *iter, const eb_tokenizer *tokenizer, const eb_text *text,
                       uint32_t max_tokens);

/* 1 and the next token with its type id (0 or 1), or 0 at the end. The token's bytes are valid
 * until the next call. */
int eb_sequence_next(eb_sequence_iter *iter, const uint8_t **token, size_t *token_size,
                     uint8_t *type);

/* The word of the last token. It takes a second look at the text, so only who asks pays for it. */
eb_word eb_sequence_word(eb_sequence_iter *iter);

/* A text whose pointers and sizes fit together. */
static inline int eb_text_is_sane(const eb_text *text) {
    return text && (text->a || !text->a_size) && (text->b || !text->b_size);
}

static inline uint32_t eb_sequence_specials(const eb_text *text) {
    return text->b ? 3 : 2;
}

#endif
