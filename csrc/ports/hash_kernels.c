/* In place of all of kernels/, for a library that does nothing but hash, such as the Python wheel's
 * for other runtimes: small, and asks for no tiles in somebody else's process. */
#include "kernels/kernels.h"
#include "kernels/target.h"

#include "kernels/hash_scalar.h" /* before the others switch an instruction set on */

#if EB_X86
#include <immintrin.h>
#include <string.h>

EB_TARGET_BEGIN("avx2,fma")
#include "kernels/hash_avx2.h"
#include "kernels/hash_mean_avx2.h"
EB_TARGET_END
EB_TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,fma")
#include "kernels/hash_avx512.h"
EB_TARGET_END

static const eb_kernels avx2 = {
    .hash_poly = eb_hash_poly_avx2,
    .hash_murmur3 = eb_hash_murmur3_avx2,
    .hash_mean = eb_hash_mean_avx2,
};
static const eb_kernels avx512 = {
    .hash_poly = eb_hash_poly_avx512,
    .hash_murmur3 = eb_hash_murmur3_avx512,
    .hash_mean = eb_hash_mean_avx2,
};
#elif EB_ARM64
#include <arm_neon.h>

#include "kernels/hash_neon.h"
#endif

static const eb_kernels general = {
#if EB_ARM64
    .hash_poly = eb_hash_poly_neon,
    .hash_murmur3 = eb_hash_murmur3_neon,
#else
    .hash_poly = eb_hash_poly_scalar,
    .hash_murmur3 = eb_hash_murmur3_scalar,
#endif
    .hash_mean = eb_hash_mean_scalar,
};

const eb_kernels *eb_kernels_best(void) {
#if EB_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma"))
        return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2;
#endif
    return &general;
}
