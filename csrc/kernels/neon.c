/* NEON for 64-bit Arm, where every processor has it, and NEON with dot products and
 * with matrix products of int8. */
#include "kernels.h"
#include "target.h"

#if EB_ARM64
#include <arm_neon.h>

#define EB_F32_LANES 4
#include "f32.h"
#include "i8.h"
#include "hash_neon.h"
#include "i8_neon.h"

#define EB_NEON_KERNELS                                                                            \
    .hash_poly = eb_hash_poly_neon, .hash_murmur3 = eb_hash_murmur3_neon,                          \
    .hash_mean = eb_hash_mean_scalar, /* which compilers vectorise here */                         \
        EB_F32_KERNELS, EB_I8_KERNELS

const eb_kernels eb_kernels_neon = {
    .name = "neon",
    EB_NEON_KERNELS,
    .gemm_i8 = eb_gemm_i8_neon,
};

#if EB_ARM64_DOTPROD
const eb_kernels eb_kernels_neondot = {
    .name = "neondot",
    EB_NEON_KERNELS,
    .gemm_i8 = eb_gemm_i8_neondot,
};
#endif

#if EB_ARM64_I8MM
const eb_kernels eb_kernels_neoni8mm = {
    .name = "neoni8mm",
    EB_NEON_KERNELS,
    .gemm_i8 = eb_gemm_i8_i8mm,
};
#endif
#endif
