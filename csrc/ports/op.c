/* What the ports have in common. */
#include "op.h"

#include "hash.h"

eb_status eb_op_params(const void *options, size_t size, eb_hash_params *params) {
    const uint8_t *bytes = options;
    uint32_t *const fields[] = {&params->family,        &params->dimension, &params->max_ngram,
                                &params->modulus,       &params->base,      &params->seed,
                                &params->boundary_marks};
    const size_t num_fields = sizeof fields / sizeof fields[0];
    if (!bytes || size != 4 * num_fields)
        return EB_ERROR_ARGUMENT;
    for (size_t i = 0; i < num_fields; i++, bytes += 4)
        *fields[i] = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                     (uint32_t)bytes[3] << 24;
    return EB_OK;
}

uint32_t eb_op_dimension(const eb_hash *hash) {
    return hash->params.dimension;
}

size_t eb_op_embed(const eb_hash *hash, const uint8_t *bytes, size_t width, const int32_t *lengths,
                   size_t count, float *vectors) {
    for (size_t i = 0; i < count; i++) {
        if (lengths[i] < 0 || (size_t)lengths[i] > width)
            return i;
        eb_hash_embed(hash, bytes + i * width, (size_t)lengths[i],
                      vectors + i * hash->params.dimension);
    }
    return count;
}
