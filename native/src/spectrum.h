/* Windows of samples -> log energies of bands. Each lane of a vector is a window of its own: nothing crosses lanes. */
#include "kernels.h"
#include "simd.h"

/* Windows side by side, tapered; even samples are the real parts of a complex series of half the length, odd ones the
 * imaginary parts. In blocks of 4 samples of 4 windows. */
static void gather(const Mel *mel, long count, const float *const *windows) {
    const float *lane[WIDTH];
    for (int i = 0; i < WIDTH; i++) lane[i] = i < count ? windows[i] : mel->nothing;
    long n = 0;
    for (; n + 4 <= mel->window; n += 4) {
        float *re = mel->real + n / 2 * WIDTH, *im = mel->imaginary + n / 2 * WIDTH;
        for (int i = 0; i < WIDTH; i += 4) {
            v4 a, b, c, d;
            memcpy(&a, lane[i] + n, 16);
            memcpy(&b, lane[i + 1] + n, 16);
            memcpy(&c, lane[i + 2] + n, 16);
            memcpy(&d, lane[i + 3] + n, 16);
            v4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
            v4 s0 = __builtin_shufflevector(ab, cd, 0, 1, 4, 5), s1 = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
            ab = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            v4 s2 = __builtin_shufflevector(ab, cd, 0, 1, 4, 5), s3 = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
            s0 *= mel->taper[n];
            s1 *= mel->taper[n + 1];
            s2 *= mel->taper[n + 2];
            s3 *= mel->taper[n + 3];
            memcpy(re + i, &s0, 16);
            memcpy(im + i, &s1, 16);
            memcpy(re + WIDTH + i, &s2, 16);
            memcpy(im + WIDTH + i, &s3, 16);
        }
    }
    for (; n < mel->size; n++) {
        float *to = (n & 1 ? mel->imaginary : mel->real) + n / 2 * WIDTH;
        for (int i = 0; i < WIDTH; i++) to[i] = n < mel->window ? lane[i][n] * mel->taper[n] : 0.0f;
    }
}

typedef struct {
    vf re, im;
} Complex;

INLINE Complex times(Complex z, float re, float im) {
    vf c = splat(re), s = splat(im);
    return (Complex){fma_(z.re, c, -(z.im * s)), fma_(z.im, c, z.re * s)};
}

/* Fourier transform in place, by factors of 4 and a last one of 2 (Cooley and Tukey 1965, decimation in frequency);
 * frequencies end up where `place` says. */
static void transform(const Mel *mel) {
    float *re = mel->real, *im = mel->imaginary;
    const float *twiddle = mel->twiddles;
    long n = mel->half;
#define GET(p) ((Complex){load(re + (p) * WIDTH), load(im + (p) * WIDTH)})
#define PUT(p, z) (store(re + (p) * WIDTH, (z).re), store(im + (p) * WIDTH, (z).im))
    for (; n >= 4; n /= 4) {
        const long q = n / 4;
        for (long j = 0; j < q; j++, twiddle += 6)
            for (long base = j; base < mel->half; base += n) {
                Complex a = GET(base), b = GET(base + q), c = GET(base + 2 * q), d = GET(base + 3 * q);
                Complex even = {a.re + c.re, a.im + c.im}, odd = {a.re - c.re, a.im - c.im};
                Complex sum = {b.re + d.re, b.im + d.im}, turned = {b.im - d.im, d.re - b.re}; /* -i (b - d) */
                Complex y0 = {even.re + sum.re, even.im + sum.im}, y2 = {even.re - sum.re, even.im - sum.im};
                Complex y1 = {odd.re + turned.re, odd.im + turned.im}, y3 = {odd.re - turned.re, odd.im - turned.im};
                PUT(base, y0);
                y1 = times(y1, twiddle[0], twiddle[1]);
                PUT(base + q, y1);
                y2 = times(y2, twiddle[2], twiddle[3]);
                PUT(base + 2 * q, y2);
                y3 = times(y3, twiddle[4], twiddle[5]);
                PUT(base + 3 * q, y3);
            }
    }
    if (n == 2)
        for (long base = 0; base < mel->half; base += 2) {
            Complex a = GET(base), b = GET(base + 1);
            Complex sum = {a.re + b.re, a.im + b.im}, less = {a.re - b.re, a.im - b.im};
            PUT(base, sum);
            PUT(base + 1, less);
        }
}

/* The energy of each bin: the transform of a real series out of that of its even and odd samples. */
static void energies(const Mel *mel) {
    float *re = mel->real, *im = mel->imaginary;
    for (long i = 0; i < mel->bins; i++) {
        const long k = mel->first + i;
        const long here = mel->place[k & (mel->half - 1)], there = mel->place[(mel->half - k) & (mel->half - 1)];
        Complex z = GET(here), mirror = GET(there);
        Complex even = {z.re + mirror.re, z.im - mirror.im}, odd = {z.im + mirror.im, mirror.re - z.re};
        odd = times(odd, mel->split[2 * i], mel->split[2 * i + 1]);
        vf x = even.re + odd.re, y = even.im + odd.im;
        store(mel->power + i * WIDTH, fma_(x, x, y * y));
    }
#undef GET
#undef PUT
}

static void mel_bands(const Mel *mel, long count, const float *const *windows, float *const *rows) {
    gather(mel, count, windows);
    transform(mel);
    energies(mel);
    for (long band = 0; band < mel->bands; band++) {
        const float *weights = mel->weights[band], *power = mel->power + (long)mel->begin[band] * WIDTH;
        vf sum = splat(0.0f);
        for (long i = 0; i < mel->end[band] - mel->begin[band]; i++)
            sum = fma_(load(power + i * WIDTH), splat(weights[i]), sum);
        store(mel->energies + band * WIDTH, log1p_(sum));
    }
    for (long i = 0; i < count; i++)
        for (long band = 0; band < mel->bands; band++) rows[i][band] = mel->energies[band * WIDTH + i];
}
