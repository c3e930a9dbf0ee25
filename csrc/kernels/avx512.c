/* AVX-512 for x86. */
#include "kernels.h"
#include "target.h"

#if EB_X86
#include <immintrin.h>
#include <math.h>
#include <string.h>

EB_TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,fma")
#define EB_F32_LANES 16
#include "f32.h"
#include "i8_avx2.h"
#include "hash_avx512.h"
#include "hash_mean_avx2.h"
EB_TARGET_END

const eb_kernels eb_kernels_avx512 = {
    .name = "avx512",
    .hash_poly = eb_hash_poly_avx512,
    .hash_murmur3 = eb_hash_murmur3_avx512,
    .hash_mean = eb_hash_mean_avx2,
    EB_F32_KERNELS,
    .gemm_i8 = eb_gemm_i8_avx2,
    .gemm_i4 = eb_gemm_i4_avx2,
    EB_I8_KERNELS_AVX2,
};
#endif
