/* Switches an instruction set on for the functions between EB_TARGET_BEGIN and EB_TARGET_END, so
 * that all files compile with the same flags. */
#ifndef EB_TARGET_H
#define EB_TARGET_H

#define EB_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define EB_TARGET_BEGIN(set)                                                                       \
    EB_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define EB_TARGET_END EB_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define EB_TARGET_BEGIN(set) EB_PRAGMA(GCC push_options) EB_PRAGMA(GCC target(set))
#define EB_TARGET_END EB_PRAGMA(GCC pop_options)
#endif

/* For functions that are called with constants, which optimisers then know. */
#if defined(__GNUC__)
#define EB_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define EB_ALWAYS_INLINE inline
#endif

/* Processors for which this compiler can switch x86 sets on and ask at run time. */
#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define EB_X86 1
#else
#define EB_X86 0
#endif

/* Processors of which all have NEON, unless a build keeps to the general registers. */
#if defined(__aarch64__) && defined(__ARM_NEON)
#define EB_ARM64 1
#else
#define EB_ARM64 0
#endif

/* NEON's dot products are a matter of the build: -march=armv8.2-a+dotprod, and always on where all
 * processors have them. To ask at run time takes the system's help, and the library needs none. */
#if EB_ARM64 && defined(__ARM_FEATURE_DOTPROD)
#define EB_ARM64_DOTPROD 1
#else
#define EB_ARM64_DOTPROD 0
#endif

#endif
