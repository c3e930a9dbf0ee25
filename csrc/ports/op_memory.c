/* A hash in memory from malloc, for the ports to runtimes of hosts. */
#include <stdlib.h>

#include "op.h"

eb_hash *eb_op_open(const eb_hash_params *params) {
    size_t size;
    eb_hash *hash = NULL;
    if (eb_hash_size(params, &size) != EB_OK)
        return NULL;
    /* The handle begins at the first aligned address behind a pointer to what free() wants. */
    uint8_t *block = malloc(size + EB_ALIGNMENT + sizeof(void *));
    if (!block)
        return NULL;
    const uintptr_t first = (uintptr_t)block + sizeof(void *);
    uint8_t *memory = block + sizeof(void *) + (EB_ALIGNMENT - first % EB_ALIGNMENT) % EB_ALIGNMENT;
    ((void **)(void *)memory)[-1] = block;
    eb_hash_open(params, memory, size, &hash);
    return hash;
}

void eb_op_close(eb_hash *hash) {
    if (hash)
        free(((void **)(void *)hash)[-1]);
}
