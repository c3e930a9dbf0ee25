/* BERT's tokenizer (arXiv 1810.04805; Hugging Face's BertTokenizerFast is the judge): clean the
 * text, fold it, split words and punctuation, split words into the longest known pieces. */
#include "tokenizer.h"

#include "format.h"
#include "kernels/target.h"
#include "unicode.h"

#include <string.h>

eb_status eb_tokenizer_size(size_t *bytes) {
    if (!bytes)
        return EB_ERROR_ARGUMENT;
    *bytes = sizeof(eb_tokenizer);
    return EB_OK;
}

eb_status eb_tokenizer_open(const void *section, size_t section_size, void *memory,
                            size_t memory_size, eb_tokenizer **tokenizer) {
    eb_tokenizer_header header;
    if (!section || !memory || !tokenizer || (uintptr_t)memory % EB_ALIGNMENT)
        return EB_ERROR_ARGUMENT;
    if (eb_is_big_endian())
        return EB_ERROR_UNSUPPORTED;
    if (memory_size < sizeof **tokenizer)
        return EB_ERROR_MEMORY;
    if (section_size < sizeof header)
        return EB_ERROR_TRUNCATED;
    memcpy(&header, section, sizeof header);
    if (header.kind > EB_TOKENIZER_WORD)
        return EB_ERROR_UNSUPPORTED;
    if (header.lowercase > 1 || header.vocabulary_size != section_size - sizeof header)
        return EB_ERROR_CORRUPT;
    eb_tokenizer *t = memory;
    memset(t, 0, sizeof *t);
    t->kind = header.kind;
    t->lowercase = header.lowercase;
    eb_status status = header.vocabulary_size ? EB_ERROR_CORRUPT : EB_OK;
    if (t->kind == EB_TOKENIZER_WORDPIECE)
        status = eb_vocabulary_open((const uint8_t *)section + sizeof header,
                                    header.vocabulary_size, &t->vocabulary);
    if (status == EB_OK)
        *tokenizer = t;
    return status;
}

int eb_tokenizer_has(const eb_tokenizer *tokenizer, const uint8_t *piece, size_t piece_size) {
    const int continuation = piece_size > 2 && piece[0] == '#' && piece[1] == '#';
    if (continuation) {
        piece += 2;
        piece_size -= 2;
    }
    return tokenizer->kind == EB_TOKENIZER_WORD ||
           eb_vocabulary_has(&tokenizer->vocabulary, continuation, piece, piece_size);
}

void eb_token_iter_start(eb_token_iter *iter, const eb_tokenizer *tokenizer, const char *text,
                         size_t size) {
    iter->tokenizer = tokenizer;
    iter->at = (const uint8_t *)text;
    iter->end = size ? iter->at + size : iter->at;
    iter->num_pieces = iter->piece = 0;
}

void eb_word_iter_start(eb_word_iter *iter, const char *text, size_t size) {
    const eb_word none = {EB_NO_WORD, 0, 0};
    iter->text = iter->at = (const uint8_t *)text;
    iter->end = size ? iter->at + size : iter->at;
    iter->word = none;
}

/* Moves over code points that are white space, or that are not. */
static void skip(eb_word_iter *iter, int white_space) {
    while (iter->at != iter->end) {
        const uint8_t *next = iter->at;
        const eb_char_class class = eb_char_class_of(eb_utf8_read(&next, iter->end));
        if ((class == EB_CHAR_SPACE) != white_space)
            return;
        iter->at = next;
    }
}

/* A token iterator has read its word to the end, and of what follows at most one white space. */
eb_word eb_word_iter_reach(eb_word_iter *iter, const eb_token_iter *tokens) {
    skip(iter, 1);
    while (iter->at < tokens->at) {
        iter->word.index++; /* from EB_NO_WORD to 0 */
        iter->word.begin = (uint32_t)(iter->at - iter->text);
        skip(iter, 0);
        iter->word.end = (uint32_t)(iter->at - iter->text);
        skip(iter, 1);
    }
    return iter->word;
}

static uint8_t *word_of(eb_token_iter *iter) {
    return iter->bytes + 2;
}

/* A mark of combining class c goes before the marks of its run whose class is higher. */
static size_t place_in_run(eb_token_iter *iter, unsigned combining_class) {
    const uint8_t *word = word_of(iter), *end = word + iter->word_size;
    const uint8_t *at = word + iter->run_start;
    while (at < end) {
        const uint8_t *next = at;
        if (eb_char_combining_class(eb_utf8_read(&next, end)) > combining_class)
            break;
        at = next;
    }
    return (size_t)(at - word);
}

/* Adds a code point to the word. Beyond EB_MAX_WORD they are only counted: such a word is [UNK]. */
static void append(eb_token_iter *iter, uint32_t code_point) {
    if (iter->word_length > EB_MAX_WORD || ++iter->word_length > EB_MAX_WORD)
        return;
    uint8_t utf8[4], *word = word_of(iter);
    const size_t size = eb_utf8_write(code_point, utf8);
    size_t place = iter->word_size;
    if (iter->tokenizer->lowercase && code_point >= 0x300) {
        const unsigned combining_class = eb_char_combining_class(code_point);
        if (combining_class)
            place = place_in_run(iter, combining_class);
        else
            iter->run_start = (uint16_t)(iter->word_size + size);
    } else {
        iter->run_start = (uint16_t)(iter->word_size + size);
    }
    memmove(word + place + size, word + place, iter->word_size - place);
    memcpy(word + place, utf8, size);
    iter->word_size = (uint16_t)(iter->word_size + size);
}

/* Adds the ASCII letters and digits that come next, of which most text is made: they need none of
 * the questions that read_word asks. Returns whether there were any. */
static int append_ascii(eb_token_iter *iter, int lowercase) {
    if (iter->word_length >= EB_MAX_WORD)
        return 0;
    const size_t left = (size_t)(iter->end - iter->at);
    const size_t room = EB_MAX_WORD - (size_t)iter->word_length;
    const size_t most = left < room ? left : room;
    const unsigned lower = lowercase ? 'a' - 'A' : 0; /* a bit that digits have anyway */
    uint8_t *to = word_of(iter) + iter->word_size;
    size_t count = 0;
    for (; count < most; count++) {
        const unsigned c = iter->at[count];
        if ((c | ('a' - 'A')) - 'a' > 'z' - 'a' && c - '0' > 9)
            break;
        to[count] = (uint8_t)(c | lower);
    }
    if (count == 0)
        return 0;
    iter->at += count;
    iter->word_length = (uint16_t)(iter->word_length + count);
    iter->word_size = (uint16_t)(iter->word_size + count);
    iter->run_start = iter->word_size;
    return 1;
}

static const char *const specials[] = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"};

/* The special token written at `at`, or NULL. They are found in raw text, as Hugging Face does. */
static const char *special_at(const uint8_t *at, const uint8_t *end) {
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        const size_t size = strlen(specials[i]);
        if ((size_t)(end - at) >= size && memcmp(at, specials[i], size) == 0)
            return specials[i];
    }
    return NULL;
}

/* Reads the next word, or the next mark or ideograph, which is a word by itself, into `bytes`.
 * Returns 0 at the end of the text. A special token ends it too: then *special is set. */
static int read_word(eb_token_iter *iter, const char **special) {
    const int lowercase = iter->tokenizer->lowercase != 0;
    iter->word_size = iter->word_length = iter->run_start = 0;
    while (iter->at != iter->end) { /* both may be NULL, which < would not allow */
        if (append_ascii(iter, lowercase))
            continue;
        const uint8_t *start = iter->at;
        if (*start == '[' && (*special = special_at(start, iter->end)) != NULL) {
            if (iter->word_length)
                *special = NULL;
            else
                iter->at += strlen(*special);
            return 1;
        }
        const uint32_t code_point = eb_utf8_read(&iter->at, iter->end);
        const eb_char_class class = eb_char_class_of(code_point);
        if (class == EB_CHAR_REMOVED)
            continue;
        if (class == EB_CHAR_SPACE) {
            if (iter->word_length)
                return 1;
            continue;
        }
        uint32_t folded[EB_MAX_FOLDED] = {code_point};
        const size_t count = lowercase ? eb_char_fold(code_point, class, folded) : 1;
        if (count == 0 && class == EB_CHAR_STARTER_ACCENT)
            iter->run_start = iter->word_size;
        const int alone = class == EB_CHAR_CJK || class == EB_CHAR_PUNCTUATION ||
                          (count == 1 && eb_char_class_of(folded[0]) == EB_CHAR_PUNCTUATION);
        if (alone && iter->word_length) {
            iter->at = start; /* the word ends here; this one comes next time */
            return 1;
        }
        for (size_t i = 0; i < count; i++)
            append(iter, folded[i]);
        if (alone)
            return 1;
    }
    return iter->word_length > 0;
}

/* Splits the word into the longest pieces that the vocabulary has, from left to right. Returns 0
 * if it cannot be split: the whole word is unknown then. */
static int split_word(eb_token_iter *iter) {
    const eb_tokenizer *tokenizer = iter->tokenizer;
    iter->num_pieces = iter->piece = 0;
    if (iter->word_length > EB_MAX_WORD)
        return 0;
    for (size_t at = 0; at < iter->word_size;) {
        size_t size = iter->word_size;
        if (tokenizer->kind == EB_TOKENIZER_WORDPIECE)
            size = eb_vocabulary_longest(&tokenizer->vocabulary, at > 0, word_of(iter) + at,
                                         iter->word_size - at);
        if (size == 0 || iter->num_pieces == EB_MAX_WORD)
            return 0;
        at += size;
        iter->piece_ends[iter->num_pieces++] = (uint16_t)at;
    }
    return 1;
}

int eb_token_iter_next(eb_token_iter *iter, const uint8_t **token, size_t *token_size) {
    if (iter->piece == iter->num_pieces) {
        const char *special = NULL;
        if (!read_word(iter, &special))
            return 0;
        iter->num_pieces = iter->piece = 0;
        if (special)
            return eb_token_literal(special, token, token_size);
        if (!split_word(iter)) {
            iter->num_pieces = 0;
            return eb_token_literal("[UNK]", token, token_size);
        }
    }
    /* A later piece's "##" overwrites the end of the one before, which was handed out already. */
    uint8_t *begin = word_of(iter);
    if (iter->piece > 0) {
        begin += iter->piece_ends[iter->piece - 1] - 2;
        memcpy(begin, "##", 2);
    }
    *token = begin;
    *token_size = (size_t)(word_of(iter) + iter->piece_ends[iter->piece] - begin);
    iter->piece++;
    return 1;
}

int eb_tokens_add(eb_tokens *tokens, const uint8_t *token, size_t size) {
    const uint32_t used = tokens->count ? tokens->ends[tokens->count - 1] : 0;
    const int fits = tokens->count == tokens->total && tokens->count < tokens->ends_capacity &&
                     size <= tokens->bytes_capacity - used;
    if (fits) {
        memcpy(tokens->bytes + used, token, size);
        tokens->ends[tokens->count++] = (uint32_t)(used + size);
    }
    tokens->total++;
    tokens->bytes_total += (uint32_t)size;
    return fits;
}

eb_status eb_tokenize(const eb_tokenizer *tokenizer, const char *text, size_t text_size,
                      eb_tokens *tokens) {
    if (!tokenizer || (!text && text_size) || !eb_tokens_are_sane(tokens))
        return EB_ERROR_ARGUMENT;
    eb_token_iter iter;
    eb_word_iter words;
    const uint8_t *token;
    size_t size;
    tokens->count = tokens->total = tokens->bytes_total = 0;
    eb_token_iter_start(&iter, tokenizer, text, text_size);
    eb_word_iter_start(&words, text, text_size);
    while (eb_token_iter_next(&iter, &token, &size))
        if (eb_tokens_add(tokens, token, size) && tokens->words)
            tokens->words[tokens->count - 1] = eb_word_iter_reach(&words, &iter);
    return EB_OK;
}
