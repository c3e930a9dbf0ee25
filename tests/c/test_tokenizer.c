/* Tokenizers: known sentences give known tokens, and whatever the text or the section is, nothing
 * is read or written out of bounds and the counters agree. argv[1]: a tokenizer section with BERT's
 * uncased vocabulary. tests/test_tokenizer.py compares with Hugging Face. */
#include "allocate.h"
#include "check.h"
#include "format.h"

#define MAX_TEXT 600

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32) % limit;
}

typedef struct handle {
    void *section, *memory;
    eb_tokenizer *tokenizer; /* NULL if the section was refused */
} handle;

static handle open_copy(const void *section, size_t size) {
    size_t memory_size = 0;
    CHECK(eb_tokenizer_size(&memory_size) == EB_OK, "size of a handle");
    handle h = {copy_of(section, size), allocate(memory_size), NULL};
    CHECK((eb_tokenizer_open(h.section, size, h.memory, memory_size, &h.tokenizer) == EB_OK) ==
              (h.tokenizer != NULL),
          "the handle is given on success, and only then");
    return h;
}

static void close_copy(handle *h) {
    free(h->section);
    free(h->memory);
}

static eb_tokens room_for(uint32_t bytes, uint32_t ends) {
    eb_tokens tokens = {0};
    tokens.bytes = allocate(bytes);
    tokens.bytes_capacity = bytes;
    tokens.ends = allocate(ends * sizeof *tokens.ends);
    tokens.ends_capacity = ends;
    return tokens;
}

static void release(eb_tokens *tokens) {
    free(tokens->bytes);
    free(tokens->ends);
}

static void tokenize(const eb_tokenizer *tokenizer, const void *text, size_t size,
                     eb_tokens *tokens) {
    CHECK(eb_tokenize(tokenizer, text, size, tokens) == EB_OK, "a text of %zu bytes", size);
}

/* All tokens of the text, in memory of exactly their size. */
static eb_tokens tokens_of(const eb_tokenizer *tokenizer, const void *text, size_t size) {
    eb_tokens counted = {0};
    tokenize(tokenizer, text, size, &counted);
    CHECK(counted.count == 0, "%u tokens stored without room", counted.count);
    eb_tokens tokens = room_for(counted.bytes_total, counted.total);
    tokenize(tokenizer, text, size, &tokens);
    CHECK(tokens.count == counted.total && tokens.total == counted.total, "%u of %u tokens",
          tokens.count, counted.total);
    CHECK(tokens.bytes_total == counted.bytes_total, "%u bytes, before %u", tokens.bytes_total,
          counted.bytes_total);
    CHECK((tokens.count ? tokens.ends[tokens.count - 1] : 0) == tokens.bytes_total,
          "the last token ends at %u", tokens.bytes_total);
    return tokens;
}

static void check_known(const eb_tokenizer *tokenizer, const char *text, const char *expected) {
    char joined[MAX_TEXT] = "";
    eb_tokens tokens = tokens_of(tokenizer, text, strlen(text));
    for (uint32_t i = 0, start = 0, at = 0; i < tokens.count; start = tokens.ends[i++]) {
        const uint32_t size = tokens.ends[i] - start;
        if (i > 0)
            joined[at++] = ' ';
        memcpy(joined + at, tokens.bytes + start, size);
        at += size;
        joined[at] = '\0';
    }
    CHECK(strcmp(joined, expected) == 0, "%s: %s, not %s", text, joined, expected);
    release(&tokens);
}

static void test_known_sentences(const eb_tokenizer *wordpiece, const eb_tokenizer *word,
                                 const eb_tokenizer *cased_word) {
    static const struct {
        const char *text, *pieces, *words;
    } cases[] = {
        {"", "", ""},
        {" \t\n\x01", "", ""},
        {"A gripping film!", "a gripping film !", "a gripping film !"},
        {"It's unaffable.", "it ' s una ##ffa ##ble .", "it ' s unaffable ."},
        {"cr\xc3\xa8me br\xc3\xbbl\xc3\xa9"
         "e",
         "cr ##eme br ##ule ##e", "creme brulee"},
        {"a[SEP]b [MASK]", "a [SEP] b [MASK]", "a [SEP] b [MASK]"},
        {"[sep] [CLS", "[ sep ] [ cl ##s", "[ sep ] [ cls"},
        {"\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5 \xe6\x9c\xac", "\xe6\x97\xa5 \xe6\x9c\xac"},
        {"\xf0\x9f\x98\x80", "[UNK]", "\xf0\x9f\x98\x80"},
        {"a\xff\xc3(b\xed\xa0\x80\xf0\x9f\x98", "a ( b", "a ( b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_known(wordpiece, cases[i].text, cases[i].pieces);
        check_known(word, cases[i].text, cases[i].words);
    }
    check_known(cased_word, "Cr\xc3\xa8me e\xcc\x81", "Cr\xc3\xa8me e\xcc\x81");
    /* Marks that are no accents: U+302E, of class 224, goes behind U+1B44, of class 9. */
    check_known(word, "a\xe3\x80\xae\xe1\xad\x84", "a\xe1\xad\x84\xe3\x80\xae");
    check_known(cased_word, "a\xe3\x80\xae\xe1\xad\x84", "a\xe3\x80\xae\xe1\xad\x84");
}

/* A word of 100 code points is whole, one of 101 is unknown, however many bytes they have. */
static void test_longest_word(const eb_tokenizer *word) {
    static const char *const letters[] = {"a", "\xd1\x8f", "\xe3\x82\xab", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        const uint32_t size = (uint32_t)strlen(letters[i]);
        char text[4 * (EB_MAX_WORD + 1)];
        for (uint32_t k = 0; k <= EB_MAX_WORD; k++)
            memcpy(text + k * size, letters[i], size);
        for (uint32_t length = EB_MAX_WORD - 1; length <= EB_MAX_WORD + 1; length++) {
            const uint32_t bytes = length > EB_MAX_WORD ? 5 : length * size; /* "[UNK]" */
            char *exact = copy_of(text, length * size);
            eb_tokens tokens = tokens_of(word, exact, length * size);
            CHECK(tokens.total == 1 && tokens.bytes_total == bytes, "%u of %s", length, letters[i]);
            release(&tokens);
            free(exact);
        }
    }
}

/* Less room stores the first of the same tokens, as many as fit, and counts them all. */
static void check_prefix(const eb_tokenizer *tokenizer, const void *text, size_t size,
                         const eb_tokens *all) {
    eb_tokens some = room_for(random_below(all->bytes_total + 2), random_below(all->total + 2));
    tokenize(tokenizer, text, size, &some);
    const uint32_t used = some.count ? some.ends[some.count - 1] : 0;
    CHECK(some.total == all->total && some.bytes_total == all->bytes_total, "all are counted");
    CHECK(some.count <= some.ends_capacity && used <= some.bytes_capacity, "within the room");
    CHECK(some.count == all->total || some.count == some.ends_capacity ||
              all->ends[some.count] > some.bytes_capacity,
          "only %u stored", some.count);
    CHECK(memcmp(some.bytes, all->bytes, used) == 0, "the same bytes");
    CHECK(memcmp(some.ends, all->ends, some.count * sizeof *some.ends) == 0, "the same ends");
    release(&some);
}

/* Random bytes, or valid sequences and marks with some bytes broken; cut anywhere. */
static size_t make_text(uint8_t text[MAX_TEXT]) {
    static const char *const parts[] = {
        "a",
        "Z",
        " ",
        "'",
        "[",
        "[CLS]",
        "[MASK",
        "film",
        "\xc3\xa9",
        "e\xcc\x81\xcc\xa3",
        "\xcd\x85\xcc\xb4",
        "\xe6\x97\xa5",
        "\xea\xb0\x81",
        "\xf0\x9f\x98\x80",
        "\xf0\x9d\x85\xa5",
        "\xe3\x80\xaa",
        "\xef\xbf\xbd",
        "\xc2\xa0",
        "\xd8\x8f",
        "\xf0\x9d\x85\xa0",
    };
    const size_t size = random_below(MAX_TEXT);
    const uint32_t kind = random_below(3), few = 1 + random_below(20);
    for (size_t at = 0; at < size;) {
        const char *part = parts[random_below(few)];
        const size_t whole = kind ? strlen(part) : 1, left = size - at;
        const size_t n = whole < left ? whole : left;
        memcpy(text + at, part, n);
        if (kind == 0)
            text[at] = (uint8_t)random_below(256);
        else if (kind == 1 && random_below(8) == 0)
            text[at + n - 1] = (uint8_t)random_below(256);
        at += n;
    }
    return size;
}

static void test_any_text(const eb_tokenizer *tokenizer, int times) {
    uint8_t buffer[MAX_TEXT];
    for (int i = 0; i < times; i++) {
        const size_t size = make_text(buffer);
        uint8_t *text = copy_of(buffer, size);
        eb_tokens all = tokens_of(tokenizer, text, size);
        for (uint32_t k = 0; k < all.count; k++)
            CHECK(all.ends[k] > (k ? all.ends[k - 1] : 0), "token %u is empty", k);
        for (int k = 0; k < 4; k++)
            check_prefix(tokenizer, text, size, &all);
        release(&all);
        free(text);
    }
}

static void test_cut_sections(const uint8_t *section, size_t size) {
    for (size_t cut = 0; cut < size; cut += cut < 64 ? 1 : 997) {
        handle h = open_copy(section, cut);
        CHECK(!h.tokenizer, "cut at %zu", cut);
        close_copy(&h);
    }
    uint8_t *longer = allocate(size + 1);
    memcpy(longer, section, size);
    longer[size] = 0;
    handle h = open_copy(longer, size + 1);
    CHECK(!h.tokenizer, "a byte more");
    close_copy(&h);
    free(longer);
}

static void test_wrong_headers(void) {
    static const struct {
        eb_tokenizer_header header;
        int good;
    } cases[] = {
        {{EB_TOKENIZER_WORD, 0, 0}, 1},
        {{EB_TOKENIZER_WORD, 1, 0}, 1},
        {{EB_TOKENIZER_WORD, 2, 0}, 0},
        {{EB_TOKENIZER_WORD, 1, 1}, 0},
        {{EB_TOKENIZER_WORD + 1, 1, 0}, 0},
        {{EB_TOKENIZER_WORDPIECE, 1, 0}, 0},
        {{UINT32_MAX, 0, 0}, 0},
        {{EB_TOKENIZER_WORD, 0, UINT32_MAX}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        handle h = open_copy(&cases[i].header, sizeof cases[i].header);
        CHECK(!h.tokenizer == !cases[i].good, "header %zu", i);
        close_copy(&h);
    }
    uint8_t more[sizeof(eb_tokenizer_header) + 1] = {EB_TOKENIZER_WORD, 0, 0, 0, 1, 0, 0, 0, 1};
    handle h = open_copy(more, sizeof more);
    CHECK(!h.tokenizer, "words with a vocabulary");
    close_copy(&h);
}

static void test_flipped_sections(const uint8_t *section, size_t size) {
    uint8_t *flipped = copy_of(section, size);
    unsigned opened = 0;
    for (int i = 0; i < 300; i++) {
        const uint32_t flips = 1 + random_below(i % 2 ? 1 : 2000);
        for (uint32_t k = 0; k < flips; k++)
            flipped[(i % 8 ? sizeof(eb_tokenizer_header) : 0) +
                    random_below((uint32_t)(size - sizeof(eb_tokenizer_header)))] ^=
                (uint8_t)(1u << random_below(8));
        handle h = open_copy(flipped, size);
        if (h.tokenizer) {
            opened++;
            test_any_text(h.tokenizer, 2);
        }
        close_copy(&h);
        memcpy(flipped, section, size);
    }
    CHECK(opened > 100, "only %u could be opened, so little was tried", opened);
    free(flipped);
}

static void test_wrong_arguments(const uint8_t *section, size_t size,
                                 const eb_tokenizer *tokenizer) {
    size_t memory_size = 0;
    CHECK(eb_tokenizer_size(NULL) == EB_ERROR_ARGUMENT, "no size");
    eb_tokenizer_size(&memory_size);
    eb_tokenizer *opened;
    uint8_t *memory = allocate(memory_size + EB_ALIGNMENT);
    CHECK(eb_tokenizer_open(NULL, size, memory, memory_size, &opened) == EB_ERROR_ARGUMENT,
          "no section");
    CHECK(eb_tokenizer_open(section, size, NULL, memory_size, &opened) == EB_ERROR_ARGUMENT,
          "no memory");
    CHECK(eb_tokenizer_open(section, size, memory, memory_size, NULL) == EB_ERROR_ARGUMENT,
          "no result");
    for (size_t i = 1; i < EB_ALIGNMENT; i++)
        CHECK(eb_tokenizer_open(section, size, memory + i, memory_size, &opened) ==
                  EB_ERROR_ARGUMENT,
              "memory out of alignment by %zu", i);
    CHECK(eb_tokenizer_open(section, size, memory, memory_size - 1, &opened) == EB_ERROR_MEMORY,
          "too little memory");
    free(memory);

    eb_tokens tokens = {0};
    uint8_t types[1];
    uint32_t dropped;
    const eb_text pair = {"a", 1, "b", 1}, bad_a = {NULL, 1, NULL, 0}, bad_b = {"a", 1, NULL, 1};
    CHECK(eb_tokenize(NULL, "a", 1, &tokens) == EB_ERROR_ARGUMENT, "no tokenizer");
    CHECK(eb_tokenize(tokenizer, NULL, 1, &tokens) == EB_ERROR_ARGUMENT, "no text");
    CHECK(eb_tokenize(tokenizer, "a", 1, NULL) == EB_ERROR_ARGUMENT, "no tokens");
    CHECK(eb_tokenize(tokenizer, NULL, 0, &tokens) == EB_OK && !tokens.total, "an empty text");
    eb_tokens no_bytes = {0}, no_ends = {0};
    no_bytes.bytes_capacity = no_ends.ends_capacity = 1;
    CHECK(eb_tokenize(tokenizer, "a", 1, &no_bytes) == EB_ERROR_ARGUMENT, "no memory for bytes");
    CHECK(eb_tokenize(tokenizer, "a", 1, &no_ends) == EB_ERROR_ARGUMENT, "no memory for ends");
    CHECK(!eb_tokenizer_has(tokenizer, NULL, 0), "an empty piece");
    CHECK(eb_sequence(NULL, &pair, 9, &tokens, types, &dropped) == EB_ERROR_ARGUMENT, "tokenizer");
    CHECK(eb_sequence(tokenizer, NULL, 9, &tokens, types, &dropped) == EB_ERROR_ARGUMENT, "text");
    CHECK(eb_sequence(tokenizer, &pair, 9, NULL, types, &dropped) == EB_ERROR_ARGUMENT, "tokens");
    CHECK(eb_sequence(tokenizer, &bad_a, 9, &tokens, types, NULL) == EB_ERROR_ARGUMENT, "a");
    CHECK(eb_sequence(tokenizer, &bad_b, 9, &tokens, types, NULL) == EB_ERROR_ARGUMENT, "b");
    CHECK(eb_sequence(tokenizer, &pair, 9, &no_ends, types, NULL) == EB_ERROR_ARGUMENT, "ends");
    CHECK(eb_sequence(tokenizer, &pair, 9, &tokens, types, NULL) == EB_OK, "dropped is optional");
    CHECK(eb_sequence(tokenizer, &pair, 9, &tokens, NULL, NULL) == EB_OK, "no room for types");
    uint32_t end;
    tokens.ends = &end;
    tokens.ends_capacity = 1;
    CHECK(eb_sequence(tokenizer, &pair, 9, &tokens, NULL, NULL) == EB_ERROR_ARGUMENT, "types");
}

/* "a a a", so many words; returns its bytes. */
static size_t words(char *text, char letter, uint32_t count) {
    memset(text, ' ', 2 * count);
    for (uint32_t i = 0; i < count; i++)
        text[2 * i] = letter;
    return 2 * count;
}

/* num_b: -1 for a single text. Room goes, token by token, to the text that has less so far, and
 * the longer one if they are even: the same as cutting the longest first. */
static void check_sequence(const eb_tokenizer *tokenizer, uint32_t num_a, int num_b,
                           uint32_t max_tokens) {
    char a[40], b[40], expected[100] = "C";
    const uint32_t nb = num_b < 0 ? 0 : (uint32_t)num_b, specials = num_b < 0 ? 2 : 3;
    const eb_text text = {a, words(a, 'a', num_a), num_b < 0 ? NULL : b, words(b, 'b', nb)};
    eb_tokens tokens = room_for(400, 60);
    uint8_t types[60];
    uint32_t dropped = 0;
    const eb_status status = eb_sequence(tokenizer, &text, max_tokens, &tokens, types, &dropped);
    CHECK((status == EB_OK) == (max_tokens >= specials), "room for %u", max_tokens);
    if (status == EB_OK) {
        uint32_t kept_a = 0, kept_b = 0;
        while (kept_a + kept_b < max_tokens - specials && (kept_a < num_a || kept_b < nb)) {
            const int even = kept_a == kept_b, to_a = even ? num_a > nb : kept_a < kept_b;
            if ((to_a && kept_a < num_a) || kept_b == nb)
                kept_a++;
            else
                kept_b++;
        }
        memset(expected + 1, 'a', kept_a);
        expected[1 + kept_a] = 'S';
        memset(expected + 2 + kept_a, 'b', kept_b);
        memcpy(expected + 2 + kept_a + kept_b, num_b < 0 ? "" : "S", num_b < 0 ? 1 : 2);
        CHECK(tokens.count == strlen(expected) && tokens.total == tokens.count, "%u tokens, not %s",
              tokens.count, expected);
        CHECK(tokens.total + dropped == num_a + nb + specials, "%u dropped", dropped);
        for (uint32_t i = 0, start = 0; i < tokens.count; start = tokens.ends[i++]) {
            const uint8_t *token = tokens.bytes + start;
            CHECK((token[0] == '[' ? token[1] : token[0]) == (uint8_t)expected[i], "token %u of %s",
                  i, expected);
            CHECK(types[i] == (i >= 2 + kept_a), "type of token %u of %s", i, expected);
        }
    }
    release(&tokens);
}

static void test_sequences(const eb_tokenizer *tokenizer) {
    for (uint32_t max_tokens = 0; max_tokens <= 40; max_tokens++)
        for (uint32_t num_a = 0; num_a <= 19; num_a += 1 + num_a / 8)
            for (int num_b = -1; num_b <= 19; num_b += 1 + num_b / 8)
                check_sequence(tokenizer, num_a, num_b, max_tokens);
}

static handle open_word(uint32_t lowercase) {
    const eb_tokenizer_header header = {EB_TOKENIZER_WORD, lowercase, 0};
    return open_copy(&header, sizeof header);
}

int main(int argc, char **argv) {
    static uint8_t file[1 << 20];
    FILE *stream = argc > 1 ? fopen(argv[1], "rb") : NULL;
    const size_t size = stream ? fread(file, 1, sizeof file, stream) : 0;
    if (stream)
        fclose(stream);
    handle wordpiece = open_copy(file, size), word = open_word(1), cased_word = open_word(0);
    CHECK(wordpiece.tokenizer, "argv[1] is a tokenizer section");
    CHECK(word.tokenizer && cased_word.tokenizer, "sections of words");
    if (!failed) {
        test_known_sentences(wordpiece.tokenizer, word.tokenizer, cased_word.tokenizer);
        test_longest_word(word.tokenizer);
        test_longest_word(cased_word.tokenizer);
        test_any_text(wordpiece.tokenizer, 2000);
        test_any_text(word.tokenizer, 1000);
        test_any_text(cased_word.tokenizer, 1000);
        test_cut_sections(file, size);
        test_wrong_headers();
        test_flipped_sections(file, size);
        test_wrong_arguments(file, size, wordpiece.tokenizer);
        test_sequences(wordpiece.tokenizer);
        test_sequences(word.tokenizer);
    }
    close_copy(&wordpiece);
    close_copy(&word);
    close_copy(&cased_word);
    return summary();
}
