/* A WordPiece vocabulary as a minimal automaton, searched where it lies; private to csrc.
 * docs/format.md tells the layout, export/vocabulary.py writes it. */
#ifndef EB_VOCABULARY_H
#define EB_VOCABULARY_H

#include "edgebert.h"

typedef struct eb_vocabulary {
    const uint8_t *edges;  /* of all states */
    const uint8_t *codes;  /* kind and label of each edge code */
    const uint8_t *firsts; /* for each first byte, initial then continuation, where to go on */
    const uint8_t *shared; /* offsets of the states that many edges lead to */
    uint32_t edges_size;   /* bytes */
    uint32_t num_shared;
} eb_vocabulary;

/* data needs no alignment. Once open, all searches are safe and take a bounded number of steps for
 * each byte of the word, whatever the bytes of data are. */
eb_status eb_vocabulary_open(const uint8_t *data, size_t size, eb_vocabulary *vocabulary);

/* Bytes of the longest piece that word begins with, 0 if there is none. continuation: 1 to search
 * the pieces marked "##", whose marks are not part of word. */
size_t eb_vocabulary_longest(const eb_vocabulary *vocabulary, int continuation, const uint8_t *word,
                             size_t size);

/* 1 if the vocabulary has the piece, else 0. */
int eb_vocabulary_has(const eb_vocabulary *vocabulary, int continuation, const uint8_t *piece,
                      size_t size);

#endif
