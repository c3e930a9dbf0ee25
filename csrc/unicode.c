#include "unicode.h"

#include "unicode_tables.h"

/* Index of the last of count sorted keys that is <= key, or else 0. Random text defeats branch
 * prediction, so the step is written as a selection. */
static size_t find_last(const uint16_t *keys, size_t count, uint32_t key) {
    size_t low = 0;
    while (count > 1) {
        const size_t half = count / 2;
        low = keys[low + half] <= key ? low + half : low;
        count -= half;
    }
    return low;
}

eb_char_class eb_char_class_of(uint32_t code_point) {
    if (code_point < 128)
        return (eb_char_class)ascii_classes[code_point];
    const uint32_t block = code_point >> 13, key = (code_point & 0x1fff) << 3 | 7;
    /* What begins before the block goes on in it: hence the entry before its own. */
    const uint16_t *runs = class_runs + class_blocks[block] - 1;
    const size_t count = 1u + class_blocks[block + 1] - class_blocks[block];
    return (eb_char_class)(runs[find_last(runs, count, key)] & 7);
}

#define HANGUL_FIRST 0xac00u /* the 11,172 syllables decompose by rule (Unicode, section 3.12) */
#define HANGUL_COUNT 11172u

static size_t fold_hangul(uint32_t index, uint32_t folded[EB_MAX_FOLDED]) {
    const uint32_t trailing = index % 28;
    folded[0] = 0x1100 + index / 588;
    folded[1] = 0x1161 + index % 588 / 28;
    folded[2] = 0x11a7 + trailing;
    return trailing ? 3 : 2;
}

static uint32_t fold_single(uint32_t code_point) {
    const uint32_t plane = code_point >> 16, key = code_point & 0xffff;
    if (plane > 2)
        return code_point;
    const size_t first = fold_planes[plane].first, count = fold_planes[plane + 1].first - first;
    if (count == 0 || fold_keys[first] > key)
        return code_point;
    const size_t run = first + find_last(fold_keys + first, count, key);
    const uint32_t distance = key - fold_keys[run], shape = fold_shapes[run], how = shape & 3;
    if (distance > fold_lasts[run] || (how == FOLDS_EVERY_OTHER && distance % 2))
        return code_point;
    const uint16_t *folds = fold_targets + (shape >> 3);
    const uint32_t fold = how == FOLDS_EACH ? folds[distance] : folds[0] + distance;
    return (uint32_t)fold_planes[plane].targets[shape >> 2 & 1] << 16 | (fold & 0xffff);
}

static size_t fold_to_several(uint32_t code_point, uint32_t folded[EB_MAX_FOLDED]) {
    const size_t rows = sizeof fold_several / sizeof fold_several[0];
    size_t row = 0, count = 0;
    while (row < rows && fold_several[row][0] < code_point)
        row++;
    if (row == rows || fold_several[row][0] != code_point)
        return 0;
    while (count < EB_MAX_FOLDED && fold_several[row][1 + count]) {
        folded[count] = fold_several[row][1 + count];
        count++;
    }
    return count;
}

size_t eb_char_fold(uint32_t code_point, eb_char_class class, uint32_t folded[EB_MAX_FOLDED]) {
    if (class == EB_CHAR_ACCENT || class == EB_CHAR_STARTER_ACCENT)
        return 0;
    if (code_point < 128) {
        folded[0] = code_point >= 'A' && code_point <= 'Z' ? code_point + ('a' - 'A') : code_point;
        return 1;
    }
    if (code_point - HANGUL_FIRST < HANGUL_COUNT)
        return fold_hangul(code_point - HANGUL_FIRST, folded);
    const size_t count = fold_to_several(code_point, folded);
    if (count)
        return count;
    folded[0] = fold_single(code_point);
    return 1;
}

unsigned eb_char_combining_class(uint32_t code_point) {
    const size_t total = sizeof combining_keys / sizeof combining_keys[0];
    const uint32_t plane = code_point >> 16, key = code_point & 0xffff;
    if (plane > 1)
        return 0;
    const size_t first = plane ? COMBINING_IN_PLANE_0 : 0;
    const size_t count = plane ? total - COMBINING_IN_PLANE_0 : COMBINING_IN_PLANE_0;
    const size_t at = first + find_last(combining_keys + first, count, key);
    return combining_keys[at] == key ? combining_classes[at] : 0;
}

uint32_t eb_utf8_read(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    const uint32_t first = *p;
    *at = p + 1;
    if (first < 0x80)
        return first;
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    const uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
    if (first < 0xc2 || first > 0xf4 || end - p <= more)
        return 0xfffd;
    uint32_t code_point = first & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0xfffd;
        code_point = code_point << 6 | (p[i] & 0x3fu);
    }
    if (code_point < least || code_point > EB_MAX_CODE_POINT || code_point >> 11 == 0xd800 >> 11)
        return 0xfffd;
    *at = p + 1 + more;
    return code_point;
}

size_t eb_utf8_write(uint32_t code_point, uint8_t *to) {
    if (code_point < 0x80) {
        to[0] = (uint8_t)code_point;
        return 1;
    }
    const size_t size = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, code_point >>= 6)
        to[i] = (uint8_t)(0x80 | (code_point & 0x3f));
    to[0] = (uint8_t)((0xf00u >> size & 0xf0u) | code_point);
    return size;
}
