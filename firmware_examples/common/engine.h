/* The model in flash and the memory it works in. */
#ifndef ENGINE_H
#define ENGINE_H

#include "edgebert.h"

typedef struct engine {
    const eb_model *model;
    void *arena;
    size_t arena_size; /* for TOKENS tokens or the model's most */
} engine;

/* Opens the model; if that fails, says why and ends the program. */
engine engine_open(void);

#endif
