/* The AVX-512 kernels on any processor: SIMDe's portable C stands in for the intrinsics, so
 * the source that is tested is the one that is shipped. EB_HAS_SIMDE is 0 where it is not
 * installed, and on big-endian machines, where its lanes have another order. */
#ifndef EB_AVX512_SIMDE_H
#define EB_AVX512_SIMDE_H

#if defined(__has_include) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#if __has_include(<simde/x86/avx512.h>)
#define EB_HAS_SIMDE 1
#endif
#endif
#ifndef EB_HAS_SIMDE
#define EB_HAS_SIMDE 0
#endif

#if EB_HAS_SIMDE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#ifndef _mm512_cvtepu8_epi32 /* its release 0.7.4 lacks it */
#define _mm512_cvtepu8_epi32(x)                                                                    \
    _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_cvtepu8_epi32(x)),                            \
                       _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)), 1)
#endif

#include "kernels/hash_avx512.h"
#include "kernels/i4_avx512.h"
#include "kernels/i8_avx512.h"

static const eb_kernels avx512_simde = {
    .name = "avx512vnni through SIMDe",
    .hash_poly = eb_hash_poly_avx512,
    .hash_murmur3 = eb_hash_murmur3_avx512,
    .hash_mean = eb_hash_mean_scalar,
    .gemm_i8 = eb_gemm_i8_vnni,
    .gemm_i4 = eb_gemm_i4_vnni,
    EB_I8_KERNELS,
};
#endif

#endif
