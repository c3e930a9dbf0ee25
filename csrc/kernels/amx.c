/* AVX-512 with VNNI for x86, and AMX's tiles for int8 matrix products. */
#include "kernels.h"
#include "target.h"

#if EB_AMX
#include <immintrin.h>
#include <math.h>
#include <string.h>

EB_TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,fma,amx-tile,amx-int8")
#define EB_F32_LANES 16
#include "f32.h"
#include "i8_avx2.h"
#include "i4_avx512.h"
#include "i8_amx.h"
#include "hash_avx512.h"
#include "hash_mean_avx2.h"
EB_TARGET_END

const eb_kernels eb_kernels_amx = {
    .name = "amx",
    .hash_poly = eb_hash_poly_avx512,
    .hash_murmur3 = eb_hash_murmur3_avx512,
    .hash_mean = eb_hash_mean_avx2,
    EB_F32_KERNELS,
    .gemm_i8 = eb_gemm_i8_amx,
    .gemm_i4 = eb_gemm_i4_vnni,
    EB_I8_KERNELS_AVX2,
};
#endif
