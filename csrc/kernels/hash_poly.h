/* Modular products of the `poly` hash family, as plain C for the compiler to vectorise. */
#include <stddef.h>
#include <stdint.h>

static void eb_hash_poly(const uint32_t *grams, size_t n, const uint32_t *multipliers,
                         const uint32_t *quotients, size_t cols, uint32_t modulus, int64_t *sums) {
    for (size_t g = 0; g < n; g++) {
        const uint32_t s = grams[g];
        for (size_t j = 0; j < cols; j++) {
            /* Shoup: q is the quotient s*h / B or one less, so r < 2B < 2^32. */
            const uint32_t q = (uint32_t)((uint64_t)s * quotients[j] >> 32);
            uint32_t r = s * multipliers[j] - q * modulus;
            r = r >= modulus ? r - modulus : r;
            sums[j] += (int32_t)(r > modulus / 2 ? r - modulus : r);
        }
    }
}
