/* Which instruction sets this build has, worst first, and how to ask for each. */
#include "kernels.h"
#include "target.h"

#if EB_AMX
#include <cpuid.h>
#endif
#if EB_ARM64 && defined(__linux__)
#include <sys/auxv.h>
#endif

extern const eb_kernels eb_kernels_scalar;
#if EB_X86
extern const eb_kernels eb_kernels_avx2;
extern const eb_kernels eb_kernels_avx512;
extern const eb_kernels eb_kernels_avx512vnni;
#endif
#if EB_AMX
extern const eb_kernels eb_kernels_amx;
#endif
#if EB_ARM64
extern const eb_kernels eb_kernels_neon;
#endif
#if EB_ARM64_DOTPROD
extern const eb_kernels eb_kernels_neondot;
#endif
#if EB_ARM64_I8MM
extern const eb_kernels eb_kernels_neoni8mm;
#endif
#if EB_DSP
extern const eb_kernels eb_kernels_dsp;
#endif
#if EB_MVE
extern const eb_kernels eb_kernels_mve;
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

#if EB_AMX
/* Linux gives a process the memory to save tiles in only if it asks. It then has them for good, and
 * its signal handlers' stacks must have room for them: it says no if one is too small. */
static int may_use_tiles(void) {
    enum { ARCH_PRCTL = 158, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    long result = ARCH_PRCTL;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"((long)REQUEST_PERMISSION), "S"((long)TILE_DATA)
                     : "rcx", "r11", "memory");
    return result == 0;
}

static int has_amx(void) {
    const unsigned tile = 1u << 24, int8 = 1u << 25;
    unsigned eax, ebx, ecx, edx;
    return has_avx512vnni() && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && edx & tile &&
           edx & int8 && may_use_tiles();
}
#endif

/* Reading the processor's own registers of features is a signal on old systems, so that the C
 * library is asked. Where it is not Linux's, a build with a set is only for processors with it. */
#if EB_ARM64_DOTPROD
static int has_neondot(void) {
#if defined(__linux__)
    return (getauxval(AT_HWCAP) >> 20 & 1) != 0;
#else
    return 1;
#endif
}
#endif

#if EB_ARM64_I8MM
static int has_neoni8mm(void) {
#if defined(__linux__)
    return has_neondot() && (getauxval(AT_HWCAP2) >> 13 & 1) != 0;
#else
    return 1;
#endif
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
#if EB_AMX
    {&eb_kernels_amx, has_amx},
#endif
#if EB_ARM64
    {&eb_kernels_neon, always},
#endif
#if EB_ARM64_DOTPROD
    {&eb_kernels_neondot, has_neondot},
#endif
#if EB_ARM64_I8MM
    {&eb_kernels_neoni8mm, has_neoni8mm},
#endif
#if EB_DSP
    {&eb_kernels_dsp, always},
#endif
#if EB_MVE
    {&eb_kernels_mve, always},
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
