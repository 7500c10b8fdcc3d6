/* What is computed, once for each instruction set: matrices, cells, spectra and posteriors. */
#ifndef STREAMRNN_KERNELS_H
#define STREAMRNN_KERNELS_H

#include <stdint.h>

/* Files for one instruction set each need a compiler that can change it in the middle; others make `plain` alone. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define STREAMRNN_X86
#endif

enum { CHUNK = 64 }; /* rows that go through a matrix together */

/* (columns, segments * length), packed for a vector width: panels of `panel` vectors of columns (the last ones may be
 * narrower), in each the vectors of one input after another. A row of the input is `segments` runs of `length` floats,
 * `stride` apart. */
typedef struct {
    long segments, length, stride;
    long columns, vectors;
    int panel;
    float *weights, *bias;
} Matrix;

/* A recurrent layer: `gates` vectors of each group of hidden units side by side. */
typedef struct {
    long hidden, padded; /* units, and units rounded up to whole vectors */
    int gates;
    Matrix recurrent;
    float *bias; /* of the recurrent part where it cannot be joined with that of the input (GRU), a unit each */
} Cell;

/* Windows of samples -> log energies of bands: a real FFT of `size`, vectors of windows side by side. */
typedef struct {
    long window, size, half, first, bins, bands;
    float *taper;            /* window: tapers and scales */
    float *twiddles;         /* (cosine, sine) of each butterfly, stage after stage */
    float *split;            /* (cosine, sine) of each bin */
    int32_t *place;          /* half: where the FFT leaves each frequency */
    int32_t *begin, *end;    /* bands: bins with weights */
    float **weights;         /* bands: weights of these bins, over the floor */
    float *nothing;          /* window: zeros, for lanes without a window */
    float *real, *imaginary; /* half * width: where it is computed */
    float *power;            /* bins * width */
    float *energies;         /* bands * width */
} Mel;

typedef struct {
    const char *name;
    int width; /* floats in a vector */
    /* rows of a -> rows of c, `rectify` for max(0, .); bias included */
    void (*dense)(const Matrix *matrix, long rows, const float *const *a, float *const *c, int rectify);
    /* rows of input products (padded * gates) and of the state before -> rows of the state after */
    void (*gru)(const Cell *cell, long rows, const float *products, const float *before, float *after);
    void (*lstm)(const Cell *cell, long rows, const float *products, const float *before, float *after, float *memory);
    void (*rnn)(const Cell *cell, long rows, const float *products, const float *before, float *after);
    /* up to `width` windows -> as many rows of bands; and the same for up to four */
    void (*mel_few)(const Mel *mel, long count, const float *const *windows, float *const *rows);
    void (*mel)(const Mel *mel, long count, const float *const *windows, float *const *rows);
    /* logits over the temperature -> posteriors; both rows are padded to whole vectors */
    void (*softmax)(long columns, float temperature, const float *logits, float *posteriors);
    void (*sigmoid)(long columns, float temperature, const float *logits, float *posteriors);
} Kernels;

void streamrnn_mel_few(const Mel *mel, long count, const float *const *windows, float *const *rows);
extern const Kernels streamrnn_avx512, streamrnn_avx2, streamrnn_plain;

#endif
