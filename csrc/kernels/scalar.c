/* Plain C for any processor. */
#include "kernels.h"
#include "target.h"

#ifndef EB_NO_F32
#define EB_F32_LANES 4
#include "f32.h"
#endif
#include "i8.h"
#include "hash_scalar.h"
#if EB_SMALL
#include "i8_small.h"
#endif
#if EB_M0
#include "i8_m0.h"
#define EB_GEMM_SMALL eb_gemm_i8_m0
#else
#define EB_GEMM_SMALL eb_gemm_i8_small
#endif

const eb_kernels eb_kernels_scalar = {
    .name = "scalar",
    .hash_murmur3 = eb_hash_murmur3_scalar,
#ifndef EB_NO_F32
    .hash_mean = eb_hash_mean_scalar,
    EB_F32_KERNELS,
#endif
#if EB_SMALL
    .hash_poly = eb_hash_poly_small,
    .gemm_i8 = EB_GEMM_SMALL,
    EB_I8_KERNELS_SMALL,
#else
    .hash_poly = eb_hash_poly_scalar,
    .gemm_i8 = eb_gemm_i8,
    EB_I8_KERNELS,
#endif
};
