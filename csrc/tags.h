/* From tags in the BIO scheme to entities; private to csrc. */
#ifndef EB_TAGS_H
#define EB_TAGS_H

#include "edgebert.h"

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
