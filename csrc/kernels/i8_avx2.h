/* Integer kernels for AVX2, with the results of i8.h to the byte. Included where AVX2 or more is
 * switched on. */
#ifndef EB_I8_AVX2_H
#define EB_I8_AVX2_H

#include "i8.h"
#include "target.h"

/* A tile's sums stay in registers; its rows of x are widened to int16 once for all blocks. */
#define EB_TILE_ROWS 4
#define EB_TILE_COLS 8
#define EB_TILE_IN 512

typedef int32_t eb_i32x8 __attribute__((vector_size(32)));

/* acc[rows, 8] (+)= x[rows, in] w: inputs times weights in pairs, which vpmaddwd adds exactly. */
static EB_ALWAYS_INLINE void eb_tile_avx2(const int16_t (*x)[EB_TILE_IN], size_t rows, size_t in,
                                          const int8_t *w, int is_first, int32_t *acc, size_t ld) {
    eb_i32x8 sums[EB_TILE_ROWS][2];
    for (size_t i = 0; i < rows; i++)
        sums[i][0] = sums[i][1] = (eb_i32x8){0};
    for (size_t k = 0; k < in; k += 4, w += 4 * EB_BLOCK) {
        const __m128i *quads = (const __m128i *)(const void *)w;
        const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(quads));
        const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(quads + 1));
        for (size_t i = 0; i < rows; i++) {
            int64_t quad;
            memcpy(&quad, x[i] + k, sizeof quad);
            const __m256i inputs = _mm256_set1_epi64x(quad);
            sums[i][0] += (eb_i32x8)_mm256_madd_epi16(inputs, w0);
            sums[i][1] += (eb_i32x8)_mm256_madd_epi16(inputs, w1);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        __m256i *out = (__m256i *)(void *)(acc + i * ld);
        __m256i sum = _mm256_hadd_epi32((__m256i)sums[i][0], (__m256i)sums[i][1]);
        sum = _mm256_permute4x64_epi64(sum, _MM_SHUFFLE(3, 1, 2, 0));
        if (!is_first)
            sum = _mm256_add_epi32(sum, _mm256_loadu_si256(out));
        _mm256_storeu_si256(out, sum);
    }
}

/* A number of rows that the compiler knows keeps the sums in registers. */
static inline void eb_tile_rows_avx2(const int16_t (*x)[EB_TILE_IN], size_t rows, size_t in,
                                     const int8_t *w, int is_first, int32_t *acc, size_t ld) {
    if (rows == 4)
        eb_tile_avx2(x, 4, in, w, is_first, acc, ld);
    else if (rows == 3)
        eb_tile_avx2(x, 3, in, w, is_first, acc, ld);
    else if (rows == 2)
        eb_tile_avx2(x, 2, in, w, is_first, acc, ld);
    else
        eb_tile_avx2(x, 1, in, w, is_first, acc, ld);
}

static inline void eb_gemm_i8_avx2(const int8_t *x, size_t ldx, size_t n, size_t in,
                                   const int8_t *w, size_t blocks, int32_t *acc, size_t ld) {
    int16_t wide[EB_TILE_ROWS][EB_TILE_IN];
    for (size_t i = 0; i < n; i += EB_TILE_ROWS)
        for (size_t k = 0; k < in; k += EB_TILE_IN) {
            const size_t rows = n - i < EB_TILE_ROWS ? n - i : EB_TILE_ROWS;
            const size_t part = in - k < EB_TILE_IN ? in - k : EB_TILE_IN;
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < part; j++)
                    wide[r][j] = x[(i + r) * ldx + k + j];
            for (size_t c = 0; c < blocks * EB_BLOCK; c += EB_TILE_COLS) {
                const int8_t *tile = w + c / EB_BLOCK * EB_BLOCK * in + c % EB_BLOCK * 4;
                eb_tile_rows_avx2((const int16_t(*)[EB_TILE_IN])wide, rows, part,
                                  tile + k * EB_BLOCK, k == 0, acc + i * ld + c, ld);
            }
        }
}

/* Eight of x * multiplier / 2^(24 + shift), as eb_requantise gives them. AVX2 shifts 64-bit numbers
 * only logically: 2^62 is added before, so that none is negative, and taken away after. */
typedef struct eb_shift_avx2 {
    __m256i before, after;
    __m128i count;
} eb_shift_avx2;

static EB_ALWAYS_INLINE eb_shift_avx2 eb_shift_by_avx2(int shift) {
    const uint64_t offset = (uint64_t)1 << 62, half = (uint64_t)1 << (23 + shift);
    const eb_shift_avx2 s = {_mm256_set1_epi64x((int64_t)(offset + half)),
                             _mm256_set1_epi32((int32_t)(uint32_t)(offset >> (24 + shift))),
                             _mm_cvtsi32_si128(24 + shift)};
    return s;
}

static EB_ALWAYS_INLINE __m256i eb_requantise_avx2(__m256i x, __m256i multipliers,
                                                   eb_shift_avx2 s) {
    __m256i even = _mm256_mul_epi32(x, multipliers);
    __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multipliers, 32));
    even = _mm256_srl_epi64(_mm256_add_epi64(even, s.before), s.count);
    odd = _mm256_srl_epi64(_mm256_add_epi64(odd, s.before), s.count);
    const __m256i both = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    return _mm256_sub_epi32(both, s.after);
}

static EB_ALWAYS_INLINE __m256i eb_vector_avx2(const void *p) {
    return _mm256_loadu_si256(p);
}

/* out[16] = a, b limited to least and 127 */
static EB_ALWAYS_INLINE void eb_store_i8_avx2(__m256i a, __m256i b, __m128i least, int8_t *out) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((void *)out, _mm_max_epi8(bytes, least));
}

static void eb_requantise_i8_avx2(const int32_t *acc, const int32_t *bias,
                                  const int32_t *multipliers, int shift, size_t count,
                                  int32_t least, int8_t *out) {
    const eb_shift_avx2 s = eb_shift_by_avx2(shift);
    size_t c = 0;
    for (; c + 16 <= count; c += 16) {
        __m256i x[2];
        for (size_t v = 0; v < 2; v++) {
            const size_t at = c + 8 * v;
            x[v] = _mm256_add_epi32(eb_vector_avx2(acc + at), eb_vector_avx2(bias + at));
            x[v] = eb_requantise_avx2(x[v], eb_vector_avx2(multipliers + at), s);
        }
        eb_store_i8_avx2(x[0], x[1], _mm_set1_epi8((char)least), out + c);
    }
    eb_requantise_i8(acc + c, bias + c, multipliers + c, shift, count - c, least, out + c);
}

static void eb_scale_i8_avx2(const int32_t *acc, int32_t multiplier, int shift, size_t count,
                             int8_t *out) {
    const eb_shift_avx2 s = eb_shift_by_avx2(shift);
    const __m256i by = _mm256_set1_epi32(multiplier);
    size_t c = 0;
    for (; c + 16 <= count; c += 16)
        eb_store_i8_avx2(eb_requantise_avx2(eb_vector_avx2(acc + c), by, s),
                         eb_requantise_avx2(eb_vector_avx2(acc + c + 8), by, s),
                         _mm_set1_epi8(-127), out + c);
    eb_scale_i8(acc + c, multiplier, shift, count - c, out + c);
}

static void eb_requantise_add_avx2(const int32_t *acc, const int32_t *bias,
                                   const int32_t *multipliers, int shift, const int16_t *x,
                                   size_t count, int32_t *y) {
    const eb_shift_avx2 s = eb_shift_by_avx2(shift);
    size_t c = 0;
    for (; c + 8 <= count; c += 8) {
        const __m256i sum = _mm256_add_epi32(eb_vector_avx2(acc + c), eb_vector_avx2(bias + c));
        const __m256i scaled = eb_requantise_avx2(sum, eb_vector_avx2(multipliers + c), s);
        const __m256i old = _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)(x + c)));
        _mm256_storeu_si256((void *)(y + c), _mm256_add_epi32(old, scaled));
    }
    eb_requantise_add(acc + c, bias + c, multipliers + c, shift, x + c, count - c, y + c);
}

static void eb_narrow_i16_avx2(const int16_t *x, size_t count, int8_t *out) {
    size_t c = 0;
    for (; c + 32 <= count; c += 32) {
        /* x / 2^7 rounded: what vpmulhrsw gives for a factor of 2^8, exactly. */
        const __m256i by = _mm256_set1_epi16(1 << 8);
        const __m256i low = _mm256_mulhrs_epi16(eb_vector_avx2(x + c), by);
        const __m256i high = _mm256_mulhrs_epi16(eb_vector_avx2(x + c + 16), by);
        const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
        _mm256_storeu_si256((void *)(out + c), _mm256_max_epi8(bytes, _mm256_set1_epi8(-127)));
    }
    eb_narrow_i16(x + c, count - c, out + c);
}

/* Eight of eb_exp2_i8. */
static EB_ALWAYS_INLINE __m256i eb_exp2_avx2(__m256i x) {
    const __m256i n = _mm256_min_epu32(_mm256_srli_epi32(x, 15), _mm256_set1_epi32(16));
    const __m256i f = _mm256_and_si256(x, _mm256_set1_epi32(0x7fff));
    const __m256i linear = _mm256_srai_epi32(_mm256_mullo_epi32(f, _mm256_set1_epi32(21975)), 15);
    __m256i square = _mm256_srai_epi32(_mm256_mullo_epi32(f, _mm256_set1_epi32(5591)), 15);
    square = _mm256_srai_epi32(_mm256_mullo_epi32(f, square), 15);
    __m256i p = _mm256_sub_epi32(_mm256_set1_epi32(32768), linear);
    p = _mm256_mullo_epi32(_mm256_add_epi32(p, square), _mm256_set1_epi32(127));
    p = _mm256_add_epi32(_mm256_srlv_epi32(p, n), _mm256_set1_epi32(1 << 14));
    return _mm256_srai_epi32(p, 15);
}

static EB_ALWAYS_INLINE int32_t eb_sum_avx2(__m256i x) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    sum = _mm_hadd_epi32(sum, sum);
    return _mm_cvtsi128_si32(_mm_hadd_epi32(sum, sum));
}

static int32_t eb_softmax_i8_avx2(const int32_t *scores, size_t count, size_t padded,
                                  int32_t multiplier, int shift, int8_t *out) {
    const eb_shift_avx2 s = eb_shift_by_avx2(shift);
    const __m256i by = _mm256_set1_epi32(multiplier);
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    int32_t max = scores[0];
    for (size_t j = 1; j < count; j++)
        max = scores[j] > max ? scores[j] : max;
    __m256i sum = _mm256_setzero_si256();
    size_t j = 0;
    for (; j < count; j += 8) { /* padded is a multiple of 16 */
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)(count - j)), lanes);
        __m256i x =
            _mm256_sub_epi32(_mm256_set1_epi32(max), _mm256_maskload_epi32(scores + j, mask));
        x = _mm256_slli_epi32(_mm256_min_epi32(x, _mm256_set1_epi32(1 << 24)), 6);
        x = _mm256_and_si256(eb_exp2_avx2(eb_requantise_avx2(x, by, s)), mask);
        sum = _mm256_add_epi32(sum, x);
        const __m128i words =
            _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
        _mm_storel_epi64((void *)(out + j), _mm_packs_epi16(words, words));
    }
    memset(out + j, 0, padded - j);
    return eb_sum_avx2(sum);
}

/* The root of a double, rounded down, is right for all integers below 2^52; variances are below
 * 2^43. */
static inline uint32_t eb_root_avx2(uint64_t x) {
    const __m128d number = _mm_set_sd((double)(int64_t)x);
    return (uint32_t)_mm_cvttsd_si32(_mm_sqrt_sd(number, number));
}

static void eb_layer_norm_i16_avx2(int32_t *y, size_t h, const int16_t *weight, const int32_t *bias,
                                   const eb_norm_scales *scales, int16_t *out) {
    eb_normalise_i16(y, h, weight, bias, scales, eb_root_avx2, out);
}

#define EB_I8_KERNELS_AVX2                                                                         \
    .requantise_i8 = eb_requantise_i8_avx2, .requantise_add = eb_requantise_add_avx2,              \
    .scale_i8 = eb_scale_i8_avx2, .layer_norm_i16 = eb_layer_norm_i16_avx2,                        \
    .narrow_i16 = eb_narrow_i16_avx2, .softmax_i8 = eb_softmax_i8_avx2, .unpack_i4 = eb_unpack_i4

#endif
