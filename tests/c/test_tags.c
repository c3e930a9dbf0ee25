/* Scores of tags, the best tags of a text, and the entities that they make, without a model. */
#include "check.h"
#include "edgebert.h"

#include <math.h>
#include <string.h>

#define LITERAL(string) string, sizeof string - 1

/* In units of 1 / 256, halves rounded up; what is beyond them, or no number, is at their ends. */
static void test_scores(void) {
    static const struct {
        float logit;
        int16_t score;
    } cases[] = {
        {0.0f, 0},        {1.0f, 256},      {-1.0f, -256},      {0.5f / 256, 1},
        {-0.5f / 256, 0}, {0.49f / 256, 0}, {-0.51f / 256, -1}, {31.99f, 8189},
        {-31.99f, -8189}, {32.0f, 8191},    {-32.0f, -8191},    {1e30f, 8191},
        {-1e30f, -8191},  {INFINITY, 8191}, {-INFINITY, -8191}, {NAN, -8191},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int16_t scores[3] = {1, 2, 3};
        eb_tag_scores(&cases[i].logit, 1, scores + 1);
        CHECK(scores[1] == cases[i].score, "%g: %d", (double)cases[i].logit, scores[1]);
        CHECK(scores[0] == 1 && scores[2] == 3, "neighbours");
    }
}

/* Scores that a caller made himself are cut to what sums have room for. */
static void test_scores_beyond_the_limits(void) {
    static const int8_t transitions[2][3] = {{0}};
    const eb_word word = {0, 0, 1};
    int16_t high[2] = {INT16_MAX, 8000}, same[2] = {8191, INT16_MAX}, low[2] = {INT16_MIN, -8000};
    uint16_t tag = 9;
    CHECK(eb_best_tags(*transitions, 2, &word, 1, high, &tag) == EB_OK && tag == 0, "%u", tag);
    CHECK(high[0] == 0 && high[1] == 8000 - 8191, "%d %d", high[0], high[1]);
    CHECK(eb_best_tags(*transitions, 2, &word, 1, same, &tag) == EB_OK && tag == 0, "%u", tag);
    CHECK(eb_best_tags(*transitions, 2, &word, 1, low, &tag) == EB_OK && tag == 1, "%u", tag);
    CHECK(low[0] == 8000 - 8191 && low[1] == 0, "%d %d", low[0], low[1]);
}

/* By itself the second word would be O; but after a B, of which the first is sure, that is rare. */
static void test_best_tags(void) {
    enum { O, B, I, START };
    static const int8_t transitions[3][4] = {
        [O] = {[B] = -64}, [B] = {0}, [I] = {[O] = -128, [START] = -128}};
    static const int16_t scores[4][3] = {{5, 0, 9}, {0, 900, 999}, {0, 999, 0}, {500, 0, 100}};
    const eb_word words[4] = {{EB_NO_WORD, 0, 0}, {0, 0, 1}, {0, 0, 1}, {1, 2, 3}};
    int16_t used[4][3];
    uint16_t tags[4];
    memcpy(used, scores, sizeof used);
    CHECK(eb_best_tags(*transitions, 3, words, 4, *used, tags) == EB_OK, "run");
    CHECK(tags[0] == 0 && tags[1] == B && tags[2] == B && tags[3] == I, "%u %u %u", tags[1],
          tags[2], tags[3]);
    CHECK(eb_best_tags(*transitions, 3, NULL, 0, NULL, NULL) == EB_OK, "no tokens");
    CHECK(eb_best_tags(NULL, 3, words, 4, *used, tags) == EB_ERROR_ARGUMENT, "transitions");
    CHECK(eb_best_tags(*transitions, 0, words, 4, *used, tags) == EB_ERROR_ARGUMENT, "no tags");
    CHECK(eb_best_tags(*transitions, EB_MAX_TAGS + 1, words, 4, *used, tags) == EB_ERROR_ARGUMENT,
          "too many tags");
    CHECK(eb_best_tags(*transitions, 3, NULL, 4, *used, tags) == EB_ERROR_ARGUMENT, "words");
    CHECK(eb_best_tags(*transitions, 3, words, 4, NULL, tags) == EB_ERROR_ARGUMENT, "scores");
    CHECK(eb_best_tags(*transitions, 3, words, 4, *used, NULL) == EB_ERROR_ARGUMENT, "tags");
}

/* Entities of one word for each letter: O, B and I of type x, J and K of type y, and a gap (.). */
static void test_entities(void) {
    static const struct {
        const char *tags;
        const char *entities; /* type, first and last word of each */
    } cases[] = {
        {"", ""},          {"OOO", ""},           {"BIO", "x01"},    {"BBI", "x00x12"},
        {"IIO", "x01"},    {"OIB", "x11x22"},     {"BKK", "x00y12"}, {"JKIK", "y01x22y33"},
        {"BOI", "x00x22"}, {"BII", "x02"},        {"B.I", "x00x22"}, {"B.O", "x00"},
        {".BI", "x12"},    {"IJBI", "x00y11x23"},
    };
    static const eb_name names[] = {
        {LITERAL("O")}, {LITERAL("B-x")}, {LITERAL("I-x")}, {LITERAL("B-y")}, {LITERAL("I-y")}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t tags[16] = {4}; /* of [CLS] */
        eb_word words[16] = {{EB_NO_WORD, 0, 0}};
        eb_entity entities[16];
        uint32_t count = 1, found = 0;
        for (uint32_t w = 0; cases[i].tags[w]; w++) {
            const char *letter = strchr("OBIJK", cases[i].tags[w]);
            for (int token = 0; letter && token < 2; token++) { /* the second one does not count */
                tags[count] = token ? 3 : (uint16_t)(letter - "OBIJK");
                words[count++] = (eb_word){w, 2 * w, 2 * w + 1};
            }
        }
        CHECK(eb_find_entities(names, 5, tags, words, count, entities, 16, &found) == EB_OK, "%s",
              cases[i].tags);
        CHECK(found == strlen(cases[i].entities) / 3, "%s: %u", cases[i].tags, found);
        for (uint32_t e = 0; e < found; e++) {
            const char *expected = cases[i].entities + 3 * e;
            CHECK(entities[e].type_size == 1 && *entities[e].type == expected[0] &&
                      entities[e].begin == 2 * (uint32_t)(expected[1] - '0') &&
                      entities[e].end == 2 * (uint32_t)(expected[2] - '0') + 1,
                  "%s: entity %u", cases[i].tags, e);
        }
    }
    const uint16_t tags[] = {0, 5};
    const eb_word words[] = {{0, 0, 1}, {1, 2, 3}};
    const eb_name bad = {LITERAL("X-y")};
    uint32_t found = 0;
    CHECK(eb_find_entities(names, 5, tags, words, 2, NULL, 0, &found) == EB_ERROR_ARGUMENT, "5");
    CHECK(eb_find_entities(&bad, 1, tags, words, 1, NULL, 0, &found) == EB_ERROR_ARGUMENT, "X-y");
    CHECK(eb_find_entities(names, 5, tags, NULL, 1, NULL, 0, &found) == EB_ERROR_ARGUMENT, "words");
    CHECK(eb_find_entities(names, 5, tags, words, 1, NULL, 0, NULL) == EB_ERROR_ARGUMENT, "found");
    CHECK(eb_find_entities(names, 5, tags, words, 1, NULL, 1, &found) == EB_ERROR_ARGUMENT, "room");
}

int main(void) {
    test_scores();
    test_scores_beyond_the_limits();
    test_best_tags();
    test_entities();
    return summary();
}
