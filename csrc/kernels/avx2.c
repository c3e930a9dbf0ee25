/* AVX2 for x86. */
#include "kernels.h"
#include "target.h"

#if EB_X86
#include <immintrin.h>
#include <math.h>
#include <string.h>

EB_TARGET_BEGIN("avx2,fma")
#define EB_F32_LANES 8
#include "f32.h"
#include "hash_avx2.h"
#include "hash_mean_avx2.h"
EB_TARGET_END

const eb_kernels eb_kernels_avx2 = {
    .name = "avx2",
    .hash_poly = eb_hash_poly_avx2,
    .hash_murmur3 = eb_hash_murmur3_avx2,
    .hash_mean = eb_hash_mean_avx2,
    .linear_f32 = eb_linear_f32,
    .gelu_f32 = eb_gelu_f32,
    .tanh_f32 = eb_tanh_f32,
    .layer_norm_f32 = eb_layer_norm_f32,
    .attention_f32 = eb_attention_f32,
};
#endif
