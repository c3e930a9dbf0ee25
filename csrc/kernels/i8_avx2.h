/* Integer kernels for AVX2, with the results of i8.h to the byte. Included where AVX2 or more is
 * switched on. */
#ifndef EB_I8_AVX2_H
#define EB_I8_AVX2_H

#include "i4_avx2.h"
#include "i8.h"
#include "target.h"

/* A tile's sums stay in registers; rows of x are widened to int16 once for all blocks, and so many
 * that a tile's weights are used twice while they are near. */
#define EB_TILE_ROWS 4
#define EB_WIDE_ROWS 8
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
    if (rows >= 4)
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
    int16_t wide[EB_WIDE_ROWS][EB_TILE_IN];
    for (size_t rows; n > 0; n -= rows, x += rows * ldx, acc += rows * ld) {
        rows = n < EB_WIDE_ROWS ? n : EB_WIDE_ROWS;
        for (size_t k = 0; k < in; k += EB_TILE_IN) {
            const size_t part = in - k < EB_TILE_IN ? in - k : EB_TILE_IN;
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < part; j++)
                    wide[r][j] = x[r * ldx + k + j];
            for (size_t c = 0; c < blocks * EB_BLOCK; c += EB_TILE_COLS) {
                const int8_t *tile = w + c / EB_BLOCK * EB_BLOCK * in + c % EB_BLOCK * 4;
                for (size_t r = 0; r < rows; r += EB_TILE_ROWS)
                    eb_tile_rows_avx2((const int16_t(*)[EB_TILE_IN])wide + r, rows - r, part,
                                      tile + k * EB_BLOCK, k == 0, acc + r * ld + c, ld);
            }
        }
    }
}

static EB_ALWAYS_INLINE __m256i eb_vector_avx2(const void *p) {
    return _mm256_loadu_si256(p);
}

/* Sixteen int32, shifted and limited to int16, in order. */
static EB_ALWAYS_INLINE __m256i eb_to_i16_avx2(__m256i low, __m256i high, __m128i shift) {
    const __m256i words =
        _mm256_packs_epi32(_mm256_sra_epi32(low, shift), _mm256_sra_epi32(high, shift));
    return _mm256_permute4x64_epi64(words, 0xd8);
}

/* Sixteen of eb_rescale. */
static EB_ALWAYS_INLINE __m256i eb_rescale_avx2(const int32_t *acc, const eb_rescaling *r,
                                                size_t c) {
    const __m256i low = _mm256_add_epi32(eb_vector_avx2(acc + c), eb_vector_avx2(r->bias + c));
    const __m256i high =
        _mm256_add_epi32(eb_vector_avx2(acc + c + 8), eb_vector_avx2(r->bias + c + 8));
    return _mm256_mulhrs_epi16(eb_to_i16_avx2(low, high, _mm_cvtsi32_si128(r->shift)),
                               eb_vector_avx2(r->multipliers + c));
}

/* out[16] = x in int8. A sum beyond int16 would be beyond int8 too. */
static EB_ALWAYS_INLINE void eb_narrow_avx2(__m256i x, int bits, __m128i least, int8_t *out) {
    x = _mm256_adds_epi16(x, _mm256_set1_epi16((int16_t)(1 << bits >> 1)));
    x = _mm256_sra_epi16(x, _mm_cvtsi32_si128(bits));
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storeu_si128((void *)out, _mm_max_epi8(bytes, least));
}

static void eb_requantise_i8_avx2(const int32_t *acc, const eb_rescaling *r, int bits, size_t count,
                                  int32_t least, int8_t *out) {
    const __m128i limit = _mm_set1_epi8((char)least);
    size_t c = 0;
    for (; c + 16 <= count; c += 16)
        eb_narrow_avx2(eb_rescale_avx2(acc, r, c), bits, limit, out + c);
    for (; c < count; c++)
        out[c] = eb_narrow(eb_rescale(acc[c], r, c), bits, least);
}

static void eb_scale_i8_avx2(const int32_t *acc, int32_t multiplier, int shift, int bits,
                             size_t count, int8_t *out) {
    const __m256i by = _mm256_set1_epi16((int16_t)multiplier);
    const __m128i limit = _mm_set1_epi8(-127), places = _mm_cvtsi32_si128(shift);
    size_t c = 0;
    for (; c + 16 <= count; c += 16) {
        const __m256i x =
            eb_to_i16_avx2(eb_vector_avx2(acc + c), eb_vector_avx2(acc + c + 8), places);
        eb_narrow_avx2(_mm256_mulhrs_epi16(x, by), bits, limit, out + c);
    }
    eb_scale_i8(acc + c, multiplier, shift, bits, count - c, out + c);
}

static void eb_requantise_add_avx2(const int32_t *acc, const eb_rescaling *r, const int8_t *x,
                                   int32_t factor, size_t count, int16_t *y) {
    const __m256i by = _mm256_set1_epi16((int16_t)factor);
    size_t c = 0;
    for (; c + 16 <= count; c += 16) {
        const __m256i old = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(x + c)));
        const __m256i sum =
            _mm256_adds_epi16(_mm256_mullo_epi16(old, by), eb_rescale_avx2(acc, r, c));
        _mm256_storeu_si256((void *)(y + c), sum);
    }
    for (; c < count; c++)
        y[c] = (int16_t)eb_clip_i16(x[c] * factor + eb_rescale(acc[c], r, c));
}

static EB_ALWAYS_INLINE int32_t eb_sum_avx2(__m256i x) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    sum = _mm_hadd_epi32(sum, sum);
    return _mm_cvtsi128_si32(_mm_hadd_epi32(sum, sum));
}

/* Largest of sixteen uint16: vphminposuw finds the least of their complements. */
static EB_ALWAYS_INLINE uint32_t eb_max_u16_avx2(__m256i x) {
    const __m128i most = _mm_max_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(most, _mm_set1_epi16(-1)));
    return (uint16_t)~_mm_cvtsi128_si32(least);
}

/* Differences of 16 numbers to their row's mean, shifted: a shift to the right by e rounds as
 * vpmulhrsw by 2^(15 - e) does. */
static EB_ALWAYS_INLINE __m256i eb_difference_avx2(__m256i y, __m256i mean, int shift) {
    const __m256i d = _mm256_subs_epi16(y, mean);
    if (shift > 0)
        return _mm256_mulhrs_epi16(d, _mm256_set1_epi16((int16_t)(1 << (15 - shift))));
    return _mm256_sll_epi16(d, _mm_cvtsi32_si128(-shift));
}

/* The root of a double is exact enough to be rounded down. */
static inline uint32_t eb_root_avx2(uint32_t x) {
    const __m128d number = _mm_set_sd((double)(int32_t)x);
    return (uint32_t)_mm_cvttsd_si32(_mm_sqrt_sd(number, number));
}

/* For rows of whole vectors that are short enough to be summed in int32, whose differences and
 * outputs fit int16 at every step; all others are for plain C. */
static void eb_layer_norm_i8_avx2(const int16_t *y, size_t h, const int16_t *weight,
                                  const int16_t *bias, const eb_norm_scales *scales, int8_t *out) {
    const __m256i ones = _mm256_set1_epi16(1);
    const __m128i limit = _mm_set1_epi8(-127);
    __m256i sum = _mm256_setzero_si256(), largest = sum, squares = sum;
    if (h % 16 || h > 1024) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    for (size_t c = 0; c < h; c += 16)
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(eb_vector_avx2(y + c), ones));
    const __m256i mean = _mm256_set1_epi16((int16_t)eb_mean(eb_sum_avx2(sum), h));
    for (size_t c = 0; c < h; c += 16) {
        const __m256i d = _mm256_subs_epi16(eb_vector_avx2(y + c), mean);
        largest = _mm256_max_epu16(largest, _mm256_abs_epi16(d));
    }
    eb_norm_row row = eb_norm_start((int16_t)_mm256_extract_epi16(mean, 0),
                                    eb_max_u16_avx2(largest), (uint32_t)scales->epsilon);
    for (size_t c = 0; c < h; c += 16) {
        const __m256i d = eb_difference_avx2(eb_vector_avx2(y + c), mean, row.shift);
        squares = _mm256_add_epi32(squares, _mm256_madd_epi16(d, d));
    }
    eb_norm_finish(&row, (uint32_t)eb_sum_avx2(squares), h, eb_root_avx2);
    if (row.length < 10) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    const __m256i reciprocal = _mm256_set1_epi16((int16_t)row.reciprocal);
    for (size_t c = 0; c < h; c += 16) {
        __m256i x = eb_difference_avx2(eb_vector_avx2(y + c), mean, row.shift);
        x = _mm256_sll_epi16(x, _mm_cvtsi32_si128(14 - row.length));
        x = _mm256_mulhrs_epi16(_mm256_mulhrs_epi16(x, reciprocal), eb_vector_avx2(weight + c));
        x = _mm256_adds_epi16(x, eb_vector_avx2(bias + c));
        eb_narrow_avx2(x, scales->bits, limit, out + c);
    }
}

/* Entries of a table of 256 by tables of 16: one is chosen by the lower four bits of an index, then
 * of two of them each time by the next bit, which vpblendvb takes from the top of a byte. */
static EB_ALWAYS_INLINE __m256i eb_lookup_pair_avx2(const int8_t *table, __m256i low, __m256i bit) {
    const __m128i *parts = (const __m128i *)(const void *)table;
    const __m256i a = _mm256_broadcastsi128_si256(_mm_loadu_si128(parts));
    const __m256i b = _mm256_broadcastsi128_si256(_mm_loadu_si128(parts + 1));
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(a, low), _mm256_shuffle_epi8(b, low), bit);
}

static EB_ALWAYS_INLINE __m256i eb_lookup_half_avx2(const int8_t *table, __m256i low,
                                                    const __m256i *bits) {
    const __m256i a = _mm256_blendv_epi8(eb_lookup_pair_avx2(table, low, bits[0]),
                                         eb_lookup_pair_avx2(table + 32, low, bits[0]), bits[1]);
    const __m256i b = _mm256_blendv_epi8(eb_lookup_pair_avx2(table + 64, low, bits[0]),
                                         eb_lookup_pair_avx2(table + 96, low, bits[0]), bits[1]);
    return _mm256_blendv_epi8(a, b, bits[2]);
}

static void eb_lookup_i8_avx2(const int8_t *table, size_t count, int8_t *x) {
    size_t c = 0;
    for (; c + 32 <= count; c += 32) {
        const __m256i index = eb_vector_avx2(x + c); /* negative ones are the table's first half */
        const __m256i low = _mm256_and_si256(index, _mm256_set1_epi8(15));
        const __m256i bits[] = {_mm256_slli_epi16(index, 3), _mm256_slli_epi16(index, 2),
                                _mm256_slli_epi16(index, 1)};
        const __m256i value = _mm256_blendv_epi8(eb_lookup_half_avx2(table + 128, low, bits),
                                                 eb_lookup_half_avx2(table, low, bits), index);
        _mm256_storeu_si256((void *)(x + c), value);
    }
    eb_lookup_i8(table, count - c, x + c);
}

/* Sixteen of eb_exp2_i8, as int16. */
static EB_ALWAYS_INLINE __m256i eb_exp2_avx2(__m256i x) {
    /* 128 >> n in the low byte for n < 8; the high byte of an index asks for 0. */
    const __m256i powers = _mm256_broadcastsi128_si256(
        _mm_setr_epi8((char)128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i n = _mm256_or_si256(_mm256_srli_epi16(x, 11), _mm256_set1_epi16((int16_t)0x8000));
    const __m256i f = _mm256_slli_epi16(_mm256_and_si256(x, _mm256_set1_epi16(2047)), 4);
    __m256i p = _mm256_mulhrs_epi16(f, _mm256_set1_epi16(5591));
    p = _mm256_mulhrs_epi16(f, _mm256_sub_epi16(_mm256_set1_epi16(21975), p));
    p = _mm256_sub_epi16(_mm256_set1_epi16(32767), p);
    p = _mm256_mulhrs_epi16(p, _mm256_set1_epi16(127 << 8));
    return _mm256_mulhrs_epi16(p, _mm256_shuffle_epi8(powers, n));
}

static EB_ALWAYS_INLINE int32_t eb_max_avx2(const int32_t *numbers, size_t count) {
    __m256i max = _mm256_set1_epi32(numbers[0]);
    size_t j = 0;
    for (; j + 8 <= count; j += 8)
        max = _mm256_max_epi32(max, eb_vector_avx2(numbers + j));
    for (; j < count; j++)
        max = _mm256_max_epi32(max, _mm256_set1_epi32(numbers[j]));
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2)));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(half);
}

static int32_t eb_softmax_i8_avx2(const int32_t *scores, size_t count, size_t padded,
                                  int32_t multiplier, int shift, int8_t *out) {
    const __m256i by = _mm256_set1_epi16((int16_t)multiplier), far = _mm256_set1_epi32(1 << 24);
    const __m128i places = _mm_cvtsi32_si128(shift);
    const __m256i most = _mm256_set1_epi32(eb_max_avx2(scores, count));
    __m128i sum = _mm_setzero_si128();
    for (size_t j = 0; j < padded; j += 16) { /* whose blocks may be read to their end */
        __m256i low = _mm256_sub_epi32(most, eb_vector_avx2(scores + j));
        __m256i high = _mm256_sub_epi32(most, eb_vector_avx2(scores + j + 8));
        low = _mm256_slli_epi32(_mm256_min_epi32(low, far), 6);
        high = _mm256_slli_epi32(_mm256_min_epi32(high, far), 6);
        const __m256i x = _mm256_mulhrs_epi16(eb_to_i16_avx2(low, high, places), by);
        const __m256i e = eb_exp2_avx2(x);
        __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(e), _mm256_extracti128_si256(e, 1));
        if (count - j < 16) {
            const __m128i lanes =
                _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            const __m128i mask = _mm_cmpgt_epi8(_mm_set1_epi8((char)(count - j)), lanes);
            bytes = _mm_and_si128(bytes, mask);
        }
        sum = _mm_add_epi64(sum, _mm_sad_epu8(bytes, _mm_setzero_si128()));
        _mm_storeu_si128((void *)(out + j), bytes);
    }
    return _mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 2);
}

#define EB_I8_KERNELS_AVX2                                                                         \
    .requantise_i8 = eb_requantise_i8_avx2, .requantise_add = eb_requantise_add_avx2,              \
    .scale_i8 = eb_scale_i8_avx2, .layer_norm_i8 = eb_layer_norm_i8_avx2,                          \
    .softmax_i8 = eb_softmax_i8_avx2, .unpack_i4 = eb_unpack_i4,                                   \
    .hash_mean_i16 = eb_hash_mean_i16, .add_embeddings = eb_add_embeddings,                        \
    .lookup_i8 = eb_lookup_i8_avx2

#endif
