/* Which instruction sets this build has, worst first, and how to ask for each. */
#include "kernels.h"
#include "target.h"

extern const eb_kernels eb_kernels_scalar;
#if EB_X86
extern const eb_kernels eb_kernels_avx2;
extern const eb_kernels eb_kernels_avx512;
extern const eb_kernels eb_kernels_avx512vnni;
#endif
#if EB_ARM64
extern const eb_kernels eb_kernels_neon;
#if EB_ARM64_DOTPROD
extern const eb_kernels eb_kernels_neondot;
#endif
#endif

static int always(void) {
    return 1;
}

#if EB_X86
/* __builtin_cpu_supports asks the processor and whether the system saves the registers. */
static int has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

static int has_avx512vnni(void) {
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}
#endif

static const struct {
    const eb_kernels *kernels;
    int (*is_supported)(void);
} sets[] = {
    {&eb_kernels_scalar, always},
#if EB_X86
    {&eb_kernels_avx2, has_avx2},
    {&eb_kernels_avx512, has_avx512},
    {&eb_kernels_avx512vnni, has_avx512vnni},
#endif
#if EB_ARM64
    {&eb_kernels_neon, always},
#endif
#if EB_ARM64_DOTPROD
    /* Such a build is only for processors that have dot products. */
    {&eb_kernels_neondot, always},
#endif
};

size_t eb_kernels_count(void) {
    return sizeof sets / sizeof sets[0];
}

const eb_kernels *eb_kernels_get(size_t i) {
    return i < eb_kernels_count() && sets[i].is_supported() ? sets[i].kernels : NULL;
}

const eb_kernels *eb_kernels_best(void) {
    const eb_kernels *best = NULL;
    for (size_t i = 0; i < eb_kernels_count(); i++)
        best = eb_kernels_get(i) ? eb_kernels_get(i) : best;
    return best;
}
