/* The best tags of a text are a path through a linear-chain conditional random field (Lafferty,
 * McCallum and Pereira, 2001), found by Viterbi's algorithm. BIO tags become entities in the way of
 * conlleval, CoNLL-2000's evaluation. */
#include "tags.h"

#define SCORES_OF_TRANSITION 16 /* units of 1 / 16 become units of 1 / 256 */

void eb_tag_scores(const float *logits, size_t count, int16_t *scores) {
    const float most = EB_MOST_TAG_SCORE;
    for (size_t i = 0; i < count; i++) {
        const float logit = logits[i] * 256.0f;
        if (!(logit > -most)) /* a NaN too */
            scores[i] = -EB_MOST_TAG_SCORE;
        else if (logit > most)
            scores[i] = EB_MOST_TAG_SCORE;
        else /* of a positive number C cuts the fraction off, which rounds down */
            scores[i] = (int16_t)((int32_t)(logit + (most + 1.5f)) - (EB_MOST_TAG_SCORE + 1));
    }
}

static int begins_word(const eb_word *words, uint32_t i) {
    return words[i].index != EB_NO_WORD && (i == 0 || words[i - 1].index != words[i].index);
}

/* Adds to the scores of a word's tags the best way to get to each; then the best of all is 0, and
 * none is so far below that the next step would leave 16 bits, which compilers make vectors of.
 * before: of the word before, NULL for the first one. */
static void add_best_ways(const int8_t *transitions, uint32_t num_tags, const int16_t *before,
                          int16_t *scores) {
    int32_t top = INT32_MIN;
    for (uint32_t tag = 0; tag < num_tags; tag++) {
        const int8_t *to_tag = transitions + (size_t)tag * (num_tags + 1);
        int16_t best = (int16_t)(before ? INT16_MIN : to_tag[num_tags] * SCORES_OF_TRANSITION);
        for (uint32_t i = 0; before && i < num_tags; i++) {
            const int16_t way = (int16_t)(before[i] + to_tag[i] * SCORES_OF_TRANSITION);
            best = way > best ? way : best;
        }
        scores[tag] = (int16_t)(eb_tag_score(scores[tag]) + best);
        top = scores[tag] > top ? scores[tag] : top;
    }
    for (uint32_t tag = 0; tag < num_tags; tag++)
        scores[tag] = (int16_t)(scores[tag] - top);
}

/* The tag that the best way goes through: to_next, from each tag to the next word's, is NULL for
 * the last word. */
static uint16_t best_of(const int16_t *scores, uint32_t num_tags, const int8_t *to_next) {
    uint32_t best = 0;
    int32_t most = INT32_MIN;
    for (uint32_t tag = 0; tag < num_tags; tag++) {
        const int32_t score = scores[tag] + (to_next ? to_next[tag] * SCORES_OF_TRANSITION : 0);
        if (score > most) {
            most = score;
            best = tag;
        }
    }
    return (uint16_t)best;
}

void eb_decode_tags(const int8_t *transitions, uint32_t num_tags, const eb_word *words,
                    uint32_t count, int16_t *scores, uint16_t *tags) {
    const int16_t *before = NULL;
    for (uint32_t i = 0; i < count; i++) {
        int16_t *row = scores + (size_t)i * num_tags;
        if (!begins_word(words, i))
            continue;
        add_best_ways(transitions, num_tags, before, row);
        before = row;
    }
    const int8_t *to_next = NULL;
    for (uint32_t i = count; i-- > 0;) {
        if (!begins_word(words, i))
            continue;
        tags[i] = best_of(scores + (size_t)i * num_tags, num_tags, to_next);
        to_next = transitions + (size_t)tags[i] * (num_tags + 1);
    }
    for (uint32_t i = 0; i < count; i++)
        if (!begins_word(words, i))
            tags[i] = words[i].index == EB_NO_WORD ? 0 : tags[i - 1];
}

eb_status eb_best_tags(const int8_t *transitions, uint32_t num_tags, const eb_word *words,
                       uint32_t count, int16_t *scores, uint16_t *tags) {
    if (!transitions || num_tags == 0 || num_tags > EB_MAX_TAGS ||
        (count && (!words || !scores || !tags)))
        return EB_ERROR_ARGUMENT;
    eb_decode_tags(transitions, num_tags, words, count, scores, tags);
    return EB_OK;
}

int eb_is_tag(eb_name tag) {
    if (tag.size == 1)
        return tag.text[0] == 'O';
    return tag.size > 2 && (tag.text[0] == 'B' || tag.text[0] == 'I') && tag.text[1] == '-';
}

void eb_bio_start(eb_bio *bio, eb_entity *entities, uint32_t capacity) {
    const eb_name none = {NULL, 0};
    bio->entities = entities;
    bio->capacity = capacity;
    bio->count = 0;
    bio->previous = EB_NO_WORD;
    bio->type = none;
}

/* A loop: of memcmp() == 0 clang makes bcmp(), one more function to need. */
static int is_same(eb_name a, eb_name b) {
    size_t same = 0;
    while (same < a.size && same < b.size && a.text[same] == b.text[same])
        same++;
    return same && same == a.size && same == b.size;
}

void eb_bio_add(eb_bio *bio, eb_word word, eb_name tag) {
    const eb_name none = {NULL, 0};
    if (word.index == EB_NO_WORD || word.index == bio->previous)
        return;
    if (word.index != bio->previous + 1) /* a word without tokens lies between */
        bio->type = none;
    bio->previous = word.index;
    if (tag.size == 1) { /* O */
        bio->type = none;
        return;
    }
    const eb_name type = {tag.text + 2, tag.size - 2};
    if (tag.text[0] == 'I' && is_same(type, bio->type)) {
        if (bio->count <= bio->capacity)
            bio->entities[bio->count - 1].end = word.end;
        return;
    }
    const eb_entity entity = {word.begin, word.end, type.text, type.size};
    if (bio->count < bio->capacity)
        bio->entities[bio->count] = entity;
    bio->count++;
    bio->type = type;
}

eb_status eb_find_entities(const eb_name *names, uint32_t num_names, const uint16_t *tags,
                           const eb_word *words, uint32_t count, eb_entity *entities,
                           uint32_t capacity, uint32_t *num_entities) {
    if ((!names && num_names) || (count && (!tags || !words)) || (!entities && capacity) ||
        !num_entities)
        return EB_ERROR_ARGUMENT;
    eb_bio bio;
    eb_bio_start(&bio, entities, capacity);
    for (uint32_t i = 0; i < count; i++) {
        if (tags[i] >= num_names || !names[tags[i]].text || !eb_is_tag(names[tags[i]]))
            return EB_ERROR_ARGUMENT;
        eb_bio_add(&bio, words[i], names[tags[i]]);
    }
    *num_entities = bio.count;
    return EB_OK;
}
