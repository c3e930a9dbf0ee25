/* Vocabulary: every kind of edge leads where docs/format.md says, and whatever the bytes are, a
 * search stays within them and ends. argv[1]: a tokenizer section with a valid vocabulary. */
#include "allocate.h"
#include "check.h"
#include "format.h"
#include "vocabulary.h"

#define CODES_SIZE 512
#define FIRSTS_SIZE 2048
#define FINAL_FIRST 0x1000000u

/* Kinds of edges, as in docs/format.md. */
enum { NEXT = 0, NEAR = 1, FAR = 2, FARTHEST = 3, NO_CHILD = 4, SHARED = 5, FINAL = 8, LAST = 16 };

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32) % limit;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* "a" leads to a state with an edge of each kind; all but "al" go on to one that takes a "z". */
#define EDGES_SIZE 26
#define VOCABULARY_SIZE (8 + EDGES_SIZE + CODES_SIZE + FIRSTS_SIZE + 3)

static void make_vocabulary(uint8_t data[VOCABULARY_SIZE]) {
    static const uint8_t edges[EDGES_SIZE] = {
        255, NEAR, 'n',         21,       255, FAR | FINAL, 'f',
        16,  0,    255,         FARTHEST, 'g', 10,          0,
        0,   255,  SHARED,      's',      0,   255,         NO_CHILD | FINAL,
        'l', 255,  NEXT | LAST, 'x',      0,
    };
    memset(data, 0, VOCABULARY_SIZE);
    put_u32(data, EDGES_SIZE);
    put_u32(data + 4, 1);
    memcpy(data + 8, edges, EDGES_SIZE);
    uint8_t *codes = data + 8 + EDGES_SIZE, *firsts = codes + CODES_SIZE;
    codes[0] = NO_CHILD | FINAL | LAST;
    codes[1] = 'z';
    for (uint32_t i = 0; i < 512; i++)
        put_u32(firsts + 4 * i, EDGES_SIZE);
    put_u32(firsts + 4 * 'a', 0);
    put_u32(firsts + 4 * 'b', EDGES_SIZE | FINAL_FIRST);
    put_u32(firsts + 4 * (256 + 'c'), (EDGES_SIZE - 1) | FINAL_FIRST);
    firsts[FIRSTS_SIZE] = EDGES_SIZE - 1;
}

static size_t longest(const eb_vocabulary *vocabulary, int continuation, const char *word) {
    return eb_vocabulary_longest(vocabulary, continuation, (const uint8_t *)word, strlen(word));
}

static void test_every_kind_of_edge(void) {
    static const struct {
        const char *word;
        size_t initial, continuation;
    } cases[] = {
        {"", 0, 0},    {"a", 0, 0},   {"anz", 3, 0}, {"anzz", 3, 0}, {"an", 0, 0},  {"any", 0, 0},
        {"afz", 3, 0}, {"afy", 2, 0}, {"agz", 3, 0}, {"asz", 3, 0},  {"alz", 2, 0}, {"axz", 3, 0},
        {"ay", 0, 0},  {"b", 1, 0},   {"bz", 1, 0},  {"c", 0, 1},    {"cz", 0, 2},  {"\xff", 0, 0},
    };
    uint8_t data[VOCABULARY_SIZE];
    make_vocabulary(data);
    eb_vocabulary vocabulary;
    CHECK(eb_vocabulary_open(data, sizeof data, &vocabulary) == EB_OK, "the hand-made one");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *word = cases[i].word;
        const size_t size = strlen(word);
        CHECK(longest(&vocabulary, 0, word) == cases[i].initial, "%s", word);
        CHECK(longest(&vocabulary, 1, word) == cases[i].continuation, "##%s", word);
        CHECK(eb_vocabulary_has(&vocabulary, 0, (const uint8_t *)word, size) ==
                  (size > 0 && cases[i].initial == size),
              "%s", word);
    }
}

static void test_other_sizes_are_refused(const uint8_t *data, size_t size, size_t step) {
    eb_vocabulary vocabulary;
    for (size_t cut = 0; cut < size; cut += step) {
        uint8_t *copy = copy_of(data, cut);
        CHECK(eb_vocabulary_open(copy, cut, &vocabulary) != EB_OK, "cut at %zu", cut);
        free(copy);
    }
    uint8_t *longer = allocate(size + 3);
    memcpy(longer, data, size);
    memset(longer + size, 0, 3);
    CHECK(eb_vocabulary_open(longer, size + 1, &vocabulary) == EB_ERROR_CORRUPT, "a byte more");
    CHECK(eb_vocabulary_open(longer, size + 3, &vocabulary) == EB_ERROR_CORRUPT, "three more");
    free(longer);
    CHECK(eb_vocabulary_open(NULL, 0, &vocabulary) == EB_ERROR_ARGUMENT, "no data");
}

/* A shared child before its parent would make a circle. */
static void test_a_child_before_its_parent_is_none(void) {
    uint8_t data[VOCABULARY_SIZE], word[1000];
    make_vocabulary(data);
    data[VOCABULARY_SIZE - 3] = 0; /* the state that begins the edges */
    memset(word, 's', sizeof word);
    word[0] = 'a';
    eb_vocabulary vocabulary;
    CHECK(eb_vocabulary_open(data, sizeof data, &vocabulary) == EB_OK, "the circle");
    CHECK(eb_vocabulary_longest(&vocabulary, 0, word, sizeof word) == 0, "the circle");
    CHECK(longest(&vocabulary, 0, "asfz") == 0, "once around the circle");
}

/* The largest state has an edge for each label, each of 6 bytes; what lies beyond is never read, or
 * else a hostile vocabulary without last edges would be read to its end for each word. */
static void test_a_state_ends_after_256_edges(void) {
    enum { EDGES = 257 * 6, SIZE = 8 + EDGES + CODES_SIZE + FIRSTS_SIZE };
    static uint8_t data[SIZE];
    eb_vocabulary vocabulary;
    put_u32(data, EDGES);
    for (size_t i = 0; i < 257; i++) {
        const uint8_t edge[6] = {255, FARTHEST | FINAL, (uint8_t)(i < 255 ? 'x' : 'y' + i - 255)};
        memcpy(data + 8 + 6 * i, edge, sizeof edge);
    }
    CHECK(eb_vocabulary_open(data, SIZE, &vocabulary) == EB_OK, "257 edges");
    CHECK(longest(&vocabulary, 0, "ax") == 2, "the first edge");
    CHECK(longest(&vocabulary, 0, "ay") == 2, "the 256th edge");
    CHECK(longest(&vocabulary, 0, "az") == 0, "the 257th edge");
}

/* Searches for words made of the bytes of `letters`; opened from an exact copy. */
static void search(const uint8_t *data, size_t size, const char *letters) {
    uint8_t *copy = copy_of(data, size);
    eb_vocabulary vocabulary;
    if (eb_vocabulary_open(copy, size, &vocabulary) == EB_OK) {
        for (int i = 0; i < 40; i++) {
            uint8_t word[24];
            const size_t word_size = random_below(sizeof word + 1);
            for (size_t k = 0; k < word_size; k++)
                word[k] = (uint8_t)letters[random_below((uint32_t)strlen(letters))];
            const int continuation = i & 1;
            uint8_t *exact = copy_of(word, word_size);
            const size_t found = eb_vocabulary_longest(&vocabulary, continuation, exact, word_size);
            CHECK(found <= word_size, "%zu of %zu", found, word_size);
            CHECK(eb_vocabulary_has(&vocabulary, continuation, exact, found) == (found > 0),
                  "a found piece of %zu bytes is one", found);
            free(exact);
        }
    }
    free(copy);
}

static void test_random_bytes(void) {
    enum { LARGEST = 8 + 300 + CODES_SIZE + FIRSTS_SIZE + 3 * 4 };
    uint8_t data[LARGEST];
    for (int i = 0; i < 3000; i++) {
        const uint32_t edges_size = random_below(301), num_shared = random_below(5);
        for (size_t k = 0; k < sizeof data; k++)
            data[k] = (uint8_t)random_below(256);
        if (i % 4) { /* else even the header is random */
            put_u32(data, edges_size);
            put_u32(data + 4, num_shared);
        }
        uint8_t *codes = data + 8 + edges_size, *entries = codes + CODES_SIZE;
        for (size_t k = 0; i % 4 >= 2 && k < 256; k++)
            codes[2 * k + 1] = (uint8_t)"abcd"[k % 4]; /* so that searches go deep */
        for (size_t k = 0; i % 4 == 3 && k < 512; k++)
            put_u32(entries + 4 * k, random_below(edges_size + 2));
        search(data, 8 + edges_size + CODES_SIZE + FIRSTS_SIZE + 3 * num_shared, "abcd");
    }
}

static void test_corruptions(uint8_t *data, size_t size) {
    for (int i = 0; i < 2000; i++) {
        const size_t at = random_below((uint32_t)size);
        const uint8_t before = data[at];
        data[at] = (uint8_t)(before ^ (1 + random_below(255)));
        search(data, size, "eeetaaoinsrhldcumfpgwybvk0");
        data[at] = before;
    }
}

int main(int argc, char **argv) {
    static uint8_t file[1 << 20];
    uint8_t data[VOCABULARY_SIZE];
    make_vocabulary(data);
    test_every_kind_of_edge();
    test_other_sizes_are_refused(data, sizeof data, 1);
    test_a_child_before_its_parent_is_none();
    test_a_state_ends_after_256_edges();
    test_random_bytes();
    FILE *stream = argc > 1 ? fopen(argv[1], "rb") : NULL;
    CHECK(stream, "argv[1] is a tokenizer section");
    if (stream) {
        const size_t size = fread(file, 1, sizeof file, stream) - sizeof(eb_tokenizer_header);
        fclose(stream);
        test_other_sizes_are_refused(file + sizeof(eb_tokenizer_header), size, 997);
        test_corruptions(file + sizeof(eb_tokenizer_header), size);
    }
    return summary();
}
