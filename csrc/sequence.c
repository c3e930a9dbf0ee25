/* [CLS] a [SEP] or [CLS] a [SEP] b [SEP], cut to a number of tokens. */
#include "sequence.h"

enum { AT_START, IN_A, AFTER_A, IN_B, AT_END };

static uint32_t count_tokens(const eb_tokenizer *tokenizer, const char *text, size_t size) {
    eb_token_iter iter;
    const uint8_t *token;
    size_t token_size;
    uint32_t count = 0;
    eb_token_iter_start(&iter, tokenizer, text, size);
    while (eb_token_iter_next(&iter, &token, &token_size))
        count++;
    return count;
}

/* Shares `room` between two texts as Hugging Face's tokenizers do: the shorter one is only cut
 * when both are longer than half. */
static void share_room(uint32_t room, uint32_t *a, uint32_t *b) {
    uint32_t *shorter = *a > *b ? b : a, *longer = *a > *b ? a : b;
    if ((uint64_t)*a + *b <= room)
        return;
    if (*shorter > room / 2) {
        *shorter = room / 2;
        *longer = room - room / 2;
    } else {
        *longer = room - *shorter;
    }
}

void eb_sequence_start(eb_sequence_iter *iter, const eb_tokenizer *tokenizer, const eb_text *text,
                       uint32_t max_tokens) {
    iter->tokenizer = tokenizer;
    iter->text = text;
    iter->room[0] = max_tokens - eb_sequence_specials(text);
    iter->room[1] = 0;
    iter->num_dropped = 0;
    iter->state = AT_START;
    if (text->b) {
        const uint32_t room = iter->room[0];
        iter->room[0] = count_tokens(tokenizer, text->a, text->a_size);
        iter->room[1] = count_tokens(tokenizer, text->b, text->b_size);
        share_room(room, &iter->room[0], &iter->room[1]);
    }
}

/* The next token of a (which = 0) or b (1) while it has room; counts the rest at its end. */
static int next_of_text(eb_sequence_iter *iter, int which, const uint8_t **token, size_t *size) {
    while (eb_token_iter_next(&iter->tokens, token, size)) {
        if (iter->room[which]) {
            iter->room[which]--;
            return 1;
        }
        iter->num_dropped++;
    }
    return 0;
}

int eb_sequence_next(eb_sequence_iter *iter, const uint8_t **token, size_t *token_size,
                     uint8_t *type) {
    const eb_text *text = iter->text;
    *type = iter->state >= AFTER_A;
    iter->has_word = 0;
    switch (iter->state) {
    case AT_START:
        eb_token_iter_start(&iter->tokens, iter->tokenizer, text->a, text->a_size);
        eb_word_iter_start(&iter->words, text->a, text->a_size);
        iter->state = IN_A;
        return eb_token_literal("[CLS]", token, token_size);
    case IN_A:
        iter->has_word = next_of_text(iter, 0, token, token_size);
        if (iter->has_word)
            return 1;
        iter->state = text->b ? AFTER_A : AT_END;
        return eb_token_literal("[SEP]", token, token_size);
    case AFTER_A:
        eb_token_iter_start(&iter->tokens, iter->tokenizer, text->b, text->b_size);
        iter->state = IN_B; /* fall through */
    case IN_B:
        if (next_of_text(iter, 1, token, token_size))
            return 1;
        iter->state = AT_END;
        return eb_token_literal("[SEP]", token, token_size);
    default:
        return 0;
    }
}

eb_word eb_sequence_word(eb_sequence_iter *iter) {
    const eb_word none = {EB_NO_WORD, 0, 0};
    return iter->has_word ? eb_word_iter_reach(&iter->words, &iter->tokens) : none;
}

eb_status eb_sequence(const eb_tokenizer *tokenizer, const eb_text *text, uint32_t max_tokens,
                      eb_tokens *tokens, uint8_t *types, uint32_t *num_dropped) {
    if (!tokenizer || !eb_text_is_sane(text) || !eb_tokens_are_sane(tokens) ||
        (!types && tokens->ends_capacity) || max_tokens < eb_sequence_specials(text))
        return EB_ERROR_ARGUMENT;
    eb_sequence_iter iter;
    const uint8_t *token;
    size_t size;
    uint8_t type;
    eb_sequence_start(&iter, tokenizer, text, max_tokens);
    tokens->count = tokens->total = tokens->bytes_total = 0;
    while (eb_sequence_next(&iter, &token, &size, &type))
        if (eb_tokens_add(tokens, token, size)) {
            types[tokens->count - 1] = type;
            if (tokens->words)
                tokens->words[tokens->count - 1] = eb_sequence_word(&iter);
        }
    if (num_dropped)
        *num_dropped = iter.num_dropped;
    return EB_OK;
}
