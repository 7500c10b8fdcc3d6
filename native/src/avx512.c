/* The kernels for processors with AVX-512. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")
#endif
#define INSTRUCTIONS_AVX512
#include "matrix.h"
#include "posteriors.h"
#include "spectrum.h"

const Kernels streamrnn_avx512 = {"avx512", WIDTH, dense, gru, lstm, rnn, streamrnn_mel_few, mel_bands, softmax, sigmoid};
#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
/* never chosen */
#include "kernels.h"
const Kernels streamrnn_avx512 = {0};
#endif
