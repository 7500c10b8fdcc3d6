/* Vectors of floats for one instruction set: its file defines INSTRUCTIONS_* before it includes this one.
 *
 * Every operation is one rounding of IEEE arithmetic in each lane, and the compiler is told not to fuse any
 * (-ffp-contract=off): what a lane computes depends on its inputs alone, wherever it stands.
 */
#ifndef STREAMRNN_SIMD_H
#define STREAMRNN_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(INSTRUCTIONS_AVX512)
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")
#define WIDTH 16
#elif defined(INSTRUCTIONS_AVX2)
#pragma GCC target("avx2,fma")
#define WIDTH 8
#elif defined(INSTRUCTIONS_FEW)
#pragma GCC target("avx2,fma")
#define WIDTH 4
#else
#define PLAIN
#define WIDTH 4
#endif

#if !defined(PLAIN)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * WIDTH)));
typedef float v4 __attribute__((vector_size(16)));

INLINE vf load(const float *from) {
    vf v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, vf v) { memcpy(to, &v, sizeof v); }

INLINE vf splat(float x) { return x - (vf){0}; } /* x - 0 is x, also of a negative zero */

/* x where the mask is set, else y */
INLINE vf choose(vi mask, vf x, vf y) { return (vf)(((vi)x & mask) | ((vi)y & ~mask)); }

#if defined(INSTRUCTIONS_AVX512)
INLINE vf fma_(vf x, vf y, vf z) { return (vf)_mm512_fmadd_ps((__m512)x, (__m512)y, (__m512)z); }
INLINE vf at_least(vf x, float low) { return (vf)_mm512_max_ps((__m512)splat(low), (__m512)x); }
INLINE vf at_most(vf x, float high) { return (vf)_mm512_min_ps((__m512)splat(high), (__m512)x); }
#elif defined(INSTRUCTIONS_AVX2)
INLINE vf fma_(vf x, vf y, vf z) { return (vf)_mm256_fmadd_ps((__m256)x, (__m256)y, (__m256)z); }
INLINE vf at_least(vf x, float low) { return (vf)_mm256_max_ps((__m256)splat(low), (__m256)x); }
INLINE vf at_most(vf x, float high) { return (vf)_mm256_min_ps((__m256)splat(high), (__m256)x); }
#elif defined(INSTRUCTIONS_FEW)
INLINE vf fma_(vf x, vf y, vf z) { return (vf)_mm_fmadd_ps((__m128)x, (__m128)y, (__m128)z); }
INLINE vf at_least(vf x, float low) { return (vf)_mm_max_ps((__m128)splat(low), (__m128)x); }
INLINE vf at_most(vf x, float high) { return (vf)_mm_min_ps((__m128)splat(high), (__m128)x); }
#else
INLINE vf fma_(vf x, vf y, vf z) { return x * y + z; }
INLINE vf at_least(vf x, float low) { return choose(x < splat(low), splat(low), x); }
INLINE vf at_most(vf x, float high) { return choose(x > splat(high), splat(high), x); }
#endif

/* exp(x) - 1 as a pair: 2^n * p and 2^n - 1, whose sum it is. |x| <= 87; p is a polynomial fitted to |r| <= ln 2 / 2. */
INLINE vf expm1_(vf x, vf *power) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number, in the lowest bits */
    vf shifted = fma_(x, splat(1.442695041f), splat(magic));
    vf n = shifted - splat(magic);
    vf r = fma_(n, splat(-0.693359375f), x);
    r = fma_(n, splat(2.12194440e-4f), r);
    vf q = fma_(splat(0.0013882395578548312f), r, splat(0.008367180824279785f));
    q = fma_(q, r, splat(0.04166722297668457f));
    q = fma_(q, r, splat(0.16666539013385773f));
    q = fma_(q, r, splat(0.4999999701976776f));
    vf p = fma_(r * r, q, r);
    *power = (vf)(((vi)shifted + 127) << 23);
    return p;
}

INLINE vf exp_(vf x) {
    vf power, p = expm1_(at_most(at_least(x, -87.0f), 87.0f), &power);
    return fma_(power, p, power);
}

INLINE vf sigmoid_(vf x) { return splat(1.0f) / (splat(1.0f) + exp_(-x)); }

INLINE vf tanh_(vf x) {
    vf twice = at_most(at_least(x + x, -20.0f), 20.0f);
    vf power, p = expm1_(twice, &power);
    vf e = fma_(power, p, power - splat(1.0f)); /* for small x the power is 1 and nothing is lost */
    return e / (e + splat(2.0f));
}

/* log(1 + x) for x >= 0, exact for small ones too. */
INLINE vf log1p_(vf x) {
    vf u = splat(1.0f) + x;
    vf lost = x - (u - splat(1.0f)); /* what the sum could not hold */
    vi bits = (vi)u;
    vi exponent = (bits - 0x3f3504f3) >> 23; /* the fraction lies in [sqrt(1/2), sqrt(2)) */
    vf fraction = (vf)(bits - (exponent << 23));
    vf n = __builtin_convertvector(exponent, vf);
    vf f = fraction - splat(1.0f);
    vf q = fma_(splat(0.08719796687364578f), f, splat(-0.14296895265579224f));
    q = fma_(q, f, splat(0.14921222627162933f));
    q = fma_(q, f, splat(-0.16574467718601227f));
    q = fma_(q, f, splat(0.19962231814861298f));
    q = fma_(q, f, splat(-0.25001412630081177f));
    q = fma_(q, f, splat(0.33333930373191833f));
    vf square = f * f;
    vf tail = fma_(square * f, q, splat(-0.5f) * square);
    tail = fma_(n, splat(-2.12194440e-4f), tail);
    tail = tail + lost / u;
    return fma_(n, splat(0.693359375f), f + tail);
}

#endif
