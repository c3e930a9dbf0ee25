/* NEON for 64-bit Arm, where every processor has it. */
#include "kernels.h"
#include "target.h"

#if EB_ARM64
#include <arm_neon.h>

#define EB_F32_LANES 4
#include "f32.h"
#include "i8.h"
#include "hash_neon.h"

const eb_kernels eb_kernels_neon = {
    .name = "neon",
    .hash_poly = eb_hash_poly_neon,
    .hash_murmur3 = eb_hash_murmur3_neon,
    .hash_mean = eb_hash_mean_scalar, /* which compilers vectorise here */
    EB_F32_KERNELS,
    .gemm_i8 = eb_gemm_i8,
    EB_I8_KERNELS,
};
#endif
