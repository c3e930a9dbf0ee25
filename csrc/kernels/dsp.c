#include "kernels.h"
#include "target.h"

#if EB_DSP
#include "hash_scalar.h"
#include "i8_dsp.h"
#ifndef EB_NO_F32
#define EB_F32_LANES 4
#include "f32.h"
#endif

const eb_kernels eb_kernels_dsp = {
    .name = "dsp",
    .hash_poly = eb_hash_poly_small,
    .hash_murmur3 = eb_hash_murmur3_scalar,
#ifndef EB_NO_F32
    .hash_mean = eb_hash_mean_scalar,
    EB_F32_KERNELS,
#endif
    EB_I8_KERNELS_DSP,
};
#endif
