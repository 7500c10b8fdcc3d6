/* A window or a few of them in vectors of four, with fused products: the same bits as in wider vectors, and sooner. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define INSTRUCTIONS_FEW
#include "spectrum.h"

void streamrnn_mel_few(const Mel *mel, long count, const float *const *windows, float *const *rows) {
    mel_bands(mel, count, windows, rows);
}
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
