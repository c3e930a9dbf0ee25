/* Switches an instruction set on for the functions between EB_TARGET_BEGIN and EB_TARGET_END, so
 * that all files compile with the same flags. */
#ifndef EB_TARGET_H
#define EB_TARGET_H

#include <stdint.h>

#define EB_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define EB_TARGET_BEGIN(set)                                                                       \
    EB_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define EB_TARGET_END EB_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define EB_TARGET_BEGIN(set) EB_PRAGMA(GCC push_options) EB_PRAGMA(GCC target(set))
#define EB_TARGET_END EB_PRAGMA(GCC pop_options)
#endif

/* GCC for Windows keeps vectors of 32 and 64 bytes on a stack that is aligned to 16, and moves them
 * as if it were to more (its bug 54412), unless it was patched as Debian's is: the assembler makes
 * moves of these that need no alignment. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__SEH__)
#define EB_MOVE(aligned, unaligned)                                                                \
    ".macro vmov" aligned " operands:vararg\nvmov" unaligned " \\operands\n.endm\n"
__asm__(".ifndef eb_moves\n.set eb_moves, 1\n" EB_MOVE("aps", "ups") EB_MOVE("apd", "upd")
            EB_MOVE("dqa", "dqu") EB_MOVE("dqa32", "dqu32") EB_MOVE("dqa64", "dqu64") ".endif");
#endif

/* For functions that are called with constants, which optimisers then know. */
#if defined(__GNUC__)
#define EB_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define EB_ALWAYS_INLINE inline
#endif

/* For functions that need all registers for themselves. */
#if defined(__GNUC__)
#define EB_NEVER_INLINE __attribute__((noinline))
#else
#define EB_NEVER_INLINE
#endif

/* Unrolls the loop that follows, whatever the level of optimisation. */
#if defined(__GNUC__)
#define EB_UNROLL(times) EB_PRAGMA(GCC unroll times)
#else
#define EB_UNROLL(times)
#endif

/* A build with EB_NO_SIMD has the plain C alone, which every processor runs. */
#if defined(EB_NO_SIMD)
#define EB_SIMD 0
#else
#define EB_SIMD 1
#endif

/* Processors for which this compiler can switch x86 sets on and ask at run time. */
#if EB_SIMD && (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define EB_X86 1
#else
#define EB_X86 0
#endif

/* Processors of which all have NEON, unless a build keeps to the general registers. */
#if EB_SIMD && defined(__aarch64__) && defined(__ARM_NEON)
#define EB_ARM64 1
#else
#define EB_ARM64 0
#endif

/* Compilers that know an extension; dispatch.c asks the system whether the processor has it. */
#if EB_X86 && defined(__x86_64__) && defined(__linux__) &&                                         \
    (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define EB_AMX 1
#else
#define EB_AMX 0
#endif

/* NEON's dot products and matrix products of int8, where compilers can switch them on for some
 * functions or the build has them on. */
#if defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 16 : __GNUC__ >= 10)
#define EB_ARM64_TARGETS EB_ARM64
#else
#define EB_ARM64_TARGETS 0
#endif
#if EB_ARM64_TARGETS || (EB_ARM64 && defined(__ARM_FEATURE_DOTPROD))
#define EB_ARM64_DOTPROD 1
#else
#define EB_ARM64_DOTPROD 0
#endif
#if EB_ARM64_TARGETS || (EB_ARM64_DOTPROD && defined(__ARM_FEATURE_MATMUL_INT8))
#define EB_ARM64_I8MM 1
#else
#define EB_ARM64_I8MM 0
#endif

/* 32-bit processors of microcontrollers without vectors or DSP instructions. */
#if (defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M' &&                                   \
     !defined(__ARM_FEATURE_SIMD32)) ||                                                            \
    (defined(__riscv) && __riscv_xlen == 32)
#define EB_SMALL 1
#else
#define EB_SMALL 0
#endif

/* Of these, Arm's smallest. */
#if EB_SMALL && defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1 && defined(__GNUC__)
#define EB_M0 1
#else
#define EB_M0 0
#endif

/* 32-bit Arm with products of two int16 at a time, and without larger vectors. */
#if EB_SIMD && defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__) && !defined(__ARM_NEON) &&       \
    !defined(__ARM_FEATURE_MVE)
#define EB_DSP 1
#else
#define EB_DSP 0
#endif

/* Arm's small processors with vectors of integers. */
#if EB_SIMD && defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE & 1
#define EB_MVE 1
#else
#define EB_MVE 0
#endif

/* Files are little-endian and used where they lie, which these processors cannot. */
static inline int eb_is_big_endian(void) {
    const uint16_t one = 1;
    return *(const uint8_t *)&one != 1;
}

/* GCC wants the architecture that its intrinsics for an extension name. */
#if defined(__clang__) || (EB_ARM64 && __ARM_ARCH > 8)
#define EB_ARM64_TARGET_BEGIN(set) EB_TARGET_BEGIN(set)
#else
#define EB_ARM64_TARGET_BEGIN(set) EB_TARGET_BEGIN("arch=armv8.2-a" set)
#endif

#endif
