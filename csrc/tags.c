/* BIO tags become entities in the way of conlleval, CoNLL-2000's evaluation. */
#include "tags.h"

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
