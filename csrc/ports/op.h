/* The graph operator HashEmbedding, as far as it is the same in every runtime; private to ports.
 *
 *     token_bytes    uint8   [..., bytes]   zero padded
 *     token_lengths  int32   [...]          bytes in each token; 0 for padding
 *     vectors        float32 [..., dimension]
 *
 * Its attributes are the fields of eb_hash_params. docs/custom-op.md says how to use it. */
#ifndef EB_OP_H
#define EB_OP_H

#include "edgebert.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EB_OP_NAME "edgebert.HashEmbedding"

/* Reads a TFLite node's custom options: seven uint32, lowest byte first, in eb_hash_params' order.
 * EB_ERROR_ARGUMENT: another size. */
eb_status eb_op_params(const void *options, size_t size, eb_hash_params *params);

/* Opens the hash in memory of its own, which eb_op_close frees; NULL if there is none, or if the
 * parameters are not sane: eb_hash_size says which. Not for TFLite Micro, which has no malloc. */
eb_hash *eb_op_open(const eb_hash_params *params);
void eb_op_close(eb_hash *hash);

uint32_t eb_op_dimension(const eb_hash *hash);

/* Writes the vectors of count tokens, token i being the first lengths[i] of the bytes from
 * bytes[i * width]. Returns count, or the index of the first token whose length is impossible. */
size_t eb_op_embed(const eb_hash *hash, const uint8_t *bytes, size_t width, const int32_t *lengths,
                   size_t count, float *vectors);

#ifdef __cplusplus
}
#endif

#endif
