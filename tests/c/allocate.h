/* Memory for tests: of exactly the size asked for, so that AddressSanitizer sees the first byte too
 * far, and aligned as the interface wants it, which malloc does not promise. */
#ifndef EB_ALLOCATE_H
#define EB_ALLOCATE_H

#define _POSIX_C_SOURCE 200112L /* for posix_memalign; so this header is included first */
#include <stdlib.h>
#include <string.h>

#include "edgebert.h"

static inline void *allocate(size_t size) {
#ifdef _WIN64 /* where malloc does promise it */
    void *memory = malloc(size ? size : 1);
    if (!memory)
        abort();
#else
    void *memory;
    if (posix_memalign(&memory, EB_ALIGNMENT, size ? size : 1))
        abort();
#endif
    return memory;
}

static inline void *copy_of(const void *data, size_t size) {
    void *copy = allocate(size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

#endif
