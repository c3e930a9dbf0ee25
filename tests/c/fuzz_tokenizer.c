/* Fuzzes the tokenizers: the input's first bytes choose one, the memory for its tokens and where a
 * pair is divided; the rest is text. The vocabulary is BERT's, found from the repository's root. */
#include "allocate.h"
#include "format.h"
#include "fuzz.h"

#define VOCABULARY "edgebert/data/bert-base-uncased.tok"
#define MAX_SECTION (1 << 20)

static eb_tokenizer *tokenizers[4]; /* [kind << 1 | lowercase] */
static void *sections[4];           /* of each, never freed */

typedef struct options {
    uint8_t tokenizer; /* its two low bits */
    uint8_t ends_capacity, bytes_capacity;
    uint8_t max_tokens; /* of a sequence */
    uint8_t a_size;     /* 0: no pair */
} options;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static uint8_t section[MAX_SECTION];
    eb_tokenizer_header header;
    size_t handle_size;
    (void)argc, (void)argv;
    FILE *stream = fopen(VOCABULARY, "rb");
    REQUIRE(stream);
    const size_t size = fread(section, 1, MAX_SECTION, stream);
    fclose(stream);
    REQUIRE(size > sizeof header && size < MAX_SECTION);
    memcpy(&header, section, sizeof header);
    REQUIRE(eb_tokenizer_size(&handle_size) == EB_OK);
    for (uint32_t i = 0; i < 4; i++) {
        const size_t used = i >> 1 == EB_TOKENIZER_WORDPIECE ? size : sizeof header;
        header.kind = i >> 1;
        header.lowercase = i & 1;
        header.vocabulary_size = (uint32_t)(used - sizeof header);
        memcpy(section, &header, sizeof header);
        sections[i] = copy_of(section, used);
        REQUIRE(eb_tokenizer_open(sections[i], used, allocate(handle_size), handle_size,
                                  &tokenizers[i]) == EB_OK);
    }
    return 0;
}

/* Tokens of its own memory, exactly of these sizes, and their types in *types. */
static eb_tokens new_tokens(uint32_t ends_capacity, uint32_t bytes_capacity, uint8_t **types) {
    eb_tokens tokens = {0};
    tokens.bytes = allocate(bytes_capacity);
    tokens.bytes_capacity = bytes_capacity;
    tokens.ends = allocate(ends_capacity * sizeof(uint32_t));
    tokens.ends_capacity = ends_capacity;
    tokens.words = allocate(ends_capacity * sizeof(eb_word));
    *types = allocate(ends_capacity);
    return tokens;
}

static void free_tokens(eb_tokens *tokens, uint8_t *types) {
    free(tokens->bytes);
    free(tokens->ends);
    free(tokens->words);
    free(types);
}

static int is_utf8(const uint8_t *at, size_t size) {
    const uint8_t *const end = at + size;
    while (at < end) {
        const uint8_t first = *at++;
        const int more = first < 0x80   ? 0
                         : first < 0xc2 ? -1
                         : first < 0xe0 ? 1
                         : first < 0xf0 ? 2
                         : first < 0xf5 ? 3
                                        : -1;
        if (more < 0 || end - at < more)
            return 0;
        if ((first == 0xe0 && *at < 0xa0) || (first == 0xed && *at > 0x9f) ||
            (first == 0xf0 && *at < 0x90) || (first == 0xf4 && *at > 0x8f))
            return 0;
        for (const uint8_t *const next = at + more; at < next; at++)
            if ((*at & 0xc0) != 0x80)
                return 0;
    }
    return 1;
}

static int is_special(const uint8_t *token, size_t size) {
    static const char *const specials[] = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"};
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++)
        if (strlen(specials[i]) == size && memcmp(token, specials[i], size) == 0)
            return 1;
    return 0;
}

/* The counters agree with each other; every token is a known one and whole UTF-8. */
static void check_tokens(const eb_tokenizer *tokenizer, const eb_tokens *tokens) {
    uint32_t begin = 0;
    REQUIRE(tokens->count <= tokens->total && tokens->count <= tokens->ends_capacity);
    for (uint32_t i = 0; i < tokens->count; begin = tokens->ends[i++]) {
        const uint8_t *token = tokens->bytes + begin;
        REQUIRE(tokens->ends[i] > begin && tokens->ends[i] <= tokens->bytes_capacity);
        const size_t size = tokens->ends[i] - begin;
        REQUIRE(is_utf8(token, size));
        REQUIRE(is_special(token, size) || eb_tokenizer_has(tokenizer, token, size));
    }
    if (tokens->count == tokens->total)
        REQUIRE(tokens->bytes_total == begin);
    else
        REQUIRE(tokens->bytes_total > begin);
}

/* Words stand in the order of the text, one behind the other. */
static void check_words(const eb_tokens *tokens, size_t text_size) {
    eb_word last = {EB_NO_WORD, 0, 0};
    for (uint32_t i = 0; i < tokens->count; i++) {
        const eb_word word = tokens->words[i];
        if (word.index == EB_NO_WORD) {
            REQUIRE(word.begin == 0 && word.end == 0);
            continue;
        }
        REQUIRE(word.begin < word.end && word.end <= text_size);
        if (word.index == last.index)
            REQUIRE(memcmp(&word, &last, sizeof word) == 0);
        else if (last.index == EB_NO_WORD)
            REQUIRE(word.begin >= word.index * 2); /* each is a byte and a space */
        else
            REQUIRE(word.index > last.index && word.begin > last.end);
        last = word;
    }
}

/* `cut` holds the first tokens of `all`, as many as it has room for. */
static void check_cut(const eb_tokens *cut, const eb_tokens *all) {
    REQUIRE(cut->total == all->total && cut->bytes_total == all->bytes_total);
    REQUIRE(all->count == all->total);
    if (cut->count) {
        REQUIRE(memcmp(cut->ends, all->ends, cut->count * sizeof cut->ends[0]) == 0);
        REQUIRE(memcmp(cut->bytes, all->bytes, cut->ends[cut->count - 1]) == 0);
        REQUIRE(memcmp(cut->words, all->words, cut->count * sizeof cut->words[0]) == 0);
    }
    if (cut->count < cut->total)
        REQUIRE(cut->count == cut->ends_capacity || all->ends[cut->count] > cut->bytes_capacity);
}

/* Returns the number of tokens. */
static uint32_t fuzz_tokenize(const eb_tokenizer *tokenizer, const options *o, const char *text,
                              size_t size) {
    uint8_t *types;
    eb_tokens cut = new_tokens(o->ends_capacity, o->bytes_capacity, &types);
    REQUIRE(eb_tokenize(tokenizer, text, size, &cut) == EB_OK);
    check_tokens(tokenizer, &cut);
    const uint32_t total = cut.total;
    uint8_t *all_types;
    eb_tokens all = new_tokens(total, cut.bytes_total, &all_types);
    REQUIRE(eb_tokenize(tokenizer, text, size, &all) == EB_OK);
    check_tokens(tokenizer, &all);
    check_words(&all, size);
    for (uint32_t i = 0; i < total; i++)
        REQUIRE(all.words[i].index != EB_NO_WORD);
    check_cut(&cut, &all);
    free_tokens(&all, all_types);
    free_tokens(&cut, types);
    return total;
}

/* num_tokens: of all its texts, special tokens around them not counted. */
static void fuzz_sequence(const eb_tokenizer *tokenizer, const options *o, const eb_text *text,
                          uint32_t num_tokens) {
    const uint32_t max_tokens = o->max_tokens, specials = text->b ? 3 : 2;
    const uint32_t whole = num_tokens + specials;
    uint32_t num_dropped;
    uint8_t *types;
    eb_tokens cut = new_tokens(o->ends_capacity, o->bytes_capacity, &types);
    const eb_status status = eb_sequence(tokenizer, text, max_tokens, &cut, types, &num_dropped);
    if (max_tokens < specials) {
        REQUIRE(status == EB_ERROR_ARGUMENT);
    } else {
        REQUIRE(status == EB_OK);
        check_tokens(tokenizer, &cut);
        REQUIRE(cut.total == (whole < max_tokens ? whole : max_tokens));
        REQUIRE(cut.total + num_dropped == whole);
        uint8_t *all_types;
        eb_tokens all = new_tokens(cut.total, cut.bytes_total, &all_types);
        REQUIRE(eb_sequence(tokenizer, text, max_tokens, &all, all_types, NULL) == EB_OK);
        check_tokens(tokenizer, &all);
        check_words(&all, text->a_size);
        for (uint32_t i = 1; i < all.count; i++) /* [SEP] in the text itself has a word */
            REQUIRE(all_types[i] == 0 || all.words[i].index == EB_NO_WORD);
        check_cut(&cut, &all);
        REQUIRE(cut.count == 0 || memcmp(types, all_types, cut.count) == 0);
        REQUIRE(memcmp(all.bytes, "[CLS]", 5) == 0 && all_types[0] == 0);
        REQUIRE(memcmp(all.bytes + all.bytes_total - 5, "[SEP]", 5) == 0);
        for (uint32_t i = 1; i < all.count; i++)
            REQUIRE(all_types[i] == all_types[i - 1] || (text->b && all_types[i] == 1));
        REQUIRE(all_types[all.count - 1] == (text->b != NULL));
        free_tokens(&all, all_types);
    }
    free_tokens(&cut, types);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    options o;
    if (size < sizeof o)
        return 0;
    memcpy(&o, data, sizeof o);
    const eb_tokenizer *tokenizer = tokenizers[o.tokenizer & 3];
    const char *all = (const char *)data + sizeof o;
    const size_t all_size = size - sizeof o;
    const size_t a_size = o.a_size && o.a_size < all_size ? o.a_size : all_size;
    char *a = copy_of(all, a_size);
    eb_text text = {a, a_size, NULL, 0};
    uint32_t num_tokens = fuzz_tokenize(tokenizer, &o, text.a, text.a_size);
    if (a_size < all_size) {
        text.b = all + a_size;
        text.b_size = all_size - a_size;
        num_tokens += fuzz_tokenize(tokenizer, &o, text.b, text.b_size);
    }
    fuzz_sequence(tokenizer, &o, &text, num_tokens);
    free(a);
    return 0;
}
