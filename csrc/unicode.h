/* What BERT needs to know of Unicode: classes, folding to lowercase without accents, UTF-8.
 * The tables in unicode_tables.h are generated from the Hugging Face tokenizers' behaviour by
 * tools/make_unicode_tables.py. */
#ifndef EB_UNICODE_H
#define EB_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#define EB_MAX_CODE_POINT 0x10ffff
#define EB_MAX_FOLDED 3 /* code points that one can fold to */

typedef enum eb_char_class {
    EB_CHAR_LETTER,         /* part of a word: everything that is nothing else */
    EB_CHAR_REMOVED,        /* control characters, U+FFFD, unassigned: as if never written */
    EB_CHAR_SPACE,          /* separates words */
    EB_CHAR_PUNCTUATION,    /* a token of its own */
    EB_CHAR_CJK,            /* an ideograph: a word of its own */
    EB_CHAR_ACCENT,         /* nonspacing mark: a letter, but folding drops it */
    EB_CHAR_STARTER_ACCENT, /* the same with canonical combining class 0 */
} eb_char_class;

/* code_point: at most EB_MAX_CODE_POINT. */
eb_char_class eb_char_class_of(uint32_t code_point);

/* Writes the code points that one becomes by canonical decomposition, removal of accents and
 * lowercasing; returns how many, 0 to EB_MAX_FOLDED. class: that of the code point. */
size_t eb_char_fold(uint32_t code_point, eb_char_class class, uint32_t folded[EB_MAX_FOLDED]);

/* Canonical combining class of the code points that are no accents; 0 for nearly all. */
unsigned eb_char_combining_class(uint32_t code_point);

/* Reads one code point and moves *at behind it; U+FFFD for a byte that begins no valid sequence.
 * *at < end. */
uint32_t eb_utf8_read(const uint8_t **at, const uint8_t *end);

/* Writes 1 to 4 bytes; returns how many. */
size_t eb_utf8_write(uint32_t code_point, uint8_t *to);

#endif
