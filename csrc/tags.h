/* From scores of tags to the best tags, and from these to entities; private to csrc. */
#ifndef EB_TAGS_H
#define EB_TAGS_H

#include "edgebert.h"

#define EB_MOST_TAG_SCORE 8191 /* either way */

/* A logit in units of 1 / 256 as a score. */
static inline int16_t eb_tag_score(int32_t logit) {
    if (logit > EB_MOST_TAG_SCORE)
        return EB_MOST_TAG_SCORE;
    return (int16_t)(logit < -EB_MOST_TAG_SCORE ? -EB_MOST_TAG_SCORE : logit);
}

/* eb_best_tags with arguments that were checked. */
void eb_decode_tags(const int8_t *transitions, uint32_t num_tags, const eb_word *words,
                    uint32_t count, int16_t *scores, uint16_t *tags);

/* What was found so far, word by word. */
typedef struct eb_bio {
    eb_entity *entities;
    uint32_t capacity;
    uint32_t count;    /* of entities found, stored or not */
    uint32_t previous; /* word that was tagged last, EB_NO_WORD before the first one */
    eb_name type;      /* of the entity that may go on; size 0: there is none */
} eb_bio;

/* Whether a name is "O", or "B-" or "I-" and at least one byte. */
int eb_is_tag(eb_name tag);

void eb_bio_start(eb_bio *bio, eb_entity *entities, uint32_t capacity);

/* The next token's word and tag, for which eb_is_tag holds. The first token of a word counts. */
void eb_bio_add(eb_bio *bio, eb_word word, eb_name tag);

#endif
