/* Plain C for any processor. */
#include "kernels.h"

#define EB_F32_LANES 4
#include "f32.h"
#include "hash_scalar.h"

const eb_kernels eb_kernels_scalar = {
    .name = "scalar",
    .hash_poly = eb_hash_poly_scalar,
    .hash_murmur3 = eb_hash_murmur3_scalar,
    .hash_mean = eb_hash_mean_scalar,
    .linear_f32 = eb_linear_f32,
    .gelu_f32 = eb_gelu_f32,
    .tanh_f32 = eb_tanh_f32,
    .layer_norm_f32 = eb_layer_norm_f32,
    .attention_f32 = eb_attention_f32,
};
