/* Products of rows with a packed matrix, and the recurrent cells on top of them.
 *
 * An element of the output is summed over its inputs in one order, whatever rows stand beside it: tiles of 8, 4, 2 and
 * 1 rows differ in which sums are made side by side, never in a sum. So a row's answer is the same bits in any batch.
 */
#include "kernels.h"
#include "simd.h"

#if defined(INSTRUCTIONS_AVX512)
#define TALL(nr) ((nr) <= 3 ? 8 : 4) /* rows of the largest tile: its sums stay in registers */
#else
#define TALL(nr) ((nr) == 4 ? 2 : 4)
#endif

enum { MOST_ROWS = 8, MOST_VECTORS = 8 };

/* sums[mr][nr] += rows a times a panel */
INLINE void multiply(const int mr, const int nr, vf sums[MOST_ROWS][MOST_VECTORS], const float *const *a, const Matrix *m,
                     const float *w) {
    const float *row[MOST_ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++) row[i] = a[i];
    for (long segment = 0; segment < m->segments; segment++) {
        for (long k = 0; k < m->length; k++) {
            vf b[MOST_VECTORS];
#pragma GCC unroll 8
            for (int j = 0; j < nr; j++) b[j] = load(w + j * WIDTH);
#pragma GCC unroll 8
            for (int i = 0; i < mr; i++) {
                vf x = splat(row[i][k]);
#pragma GCC unroll 8
                for (int j = 0; j < nr; j++) sums[i][j] = fma_(x, b[j], sums[i][j]);
            }
            w += nr * WIDTH;
        }
#pragma GCC unroll 8
        for (int i = 0; i < mr; i++) row[i] += m->stride;
    }
}

/* The same for one row and `np` panels at once: a panel alone has too few sums to keep the processor busy. */
INLINE void multiply_one(const int np, const int nr, vf sums[MOST_VECTORS], const float *a, const Matrix *m,
                         const float *w) {
    const long panel = m->segments * m->length * nr * WIDTH;
    for (long segment = 0; segment < m->segments; segment++) {
        for (long k = 0; k < m->length; k++) {
            vf x = splat(a[k]);
#pragma GCC unroll 8
            for (int p = 0; p < np; p++) {
#pragma GCC unroll 8
                for (int j = 0; j < nr; j++)
                    sums[p * nr + j] = fma_(x, load(w + p * panel + j * WIDTH), sums[p * nr + j]);
            }
            w += nr * WIDTH;
        }
        a += m->stride;
    }
}

INLINE void put(float *to, vf v, long columns) {
    if (columns >= WIDTH)
        store(to, v);
    else
        memcpy(to, &v, 4 * columns);
}

INLINE void dense_tile(const int mr, const int nr, const Matrix *m, const float *const *a, float *const *c, long vector,
                       int rectify) {
    vf sums[MOST_ROWS][MOST_VECTORS];
    const float *w = m->weights + vector * WIDTH * m->segments * m->length;
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
        for (int j = 0; j < nr; j++) sums[i][j] = load(m->bias + (vector + j) * WIDTH);
    multiply(mr, nr, sums, a, m, w);
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
        for (int j = 0; j < nr; j++) {
            vf v = rectify ? at_least(sums[i][j], 0.0f) : sums[i][j];
            put(c[i] + (vector + j) * WIDTH, v, m->columns - (vector + j) * WIDTH);
        }
}

INLINE void dense_one(const int np, const int nr, const Matrix *m, const float *a, float *c, long vector, int rectify) {
    vf sums[MOST_VECTORS];
#pragma GCC unroll 8
    for (int j = 0; j < np * nr; j++) sums[j] = load(m->bias + (vector + j) * WIDTH);
    multiply_one(np, nr, sums, a, m, m->weights + vector * WIDTH * m->segments * m->length);
#pragma GCC unroll 8
    for (int j = 0; j < np * nr; j++) {
        vf v = rectify ? at_least(sums[j], 0.0f) : sums[j];
        put(c + (vector + j) * WIDTH, v, m->columns - (vector + j) * WIDTH);
    }
}

INLINE void dense_panel(const int nr, const Matrix *m, long rows, const float *const *a, float *const *c, long vector,
                        int rectify) {
    long r = 0;
    for (; r + TALL(nr) <= rows; r += TALL(nr)) dense_tile(TALL(nr), nr, m, a + r, c + r, vector, rectify);
    if (TALL(nr) > 4 && r + 4 <= rows) dense_tile(4, nr, m, a + r, c + r, vector, rectify), r += 4;
    if (TALL(nr) > 2 && r + 2 <= rows) dense_tile(2, nr, m, a + r, c + r, vector, rectify), r += 2;
    if (r < rows) dense_tile(1, nr, m, a + r, c + r, vector, rectify);
}

static void dense(const Matrix *m, long rows, const float *const *a, float *const *c, int rectify) {
    long vector = 0;
    if (rows == 1)
        for (; vector + 6 <= m->vectors - m->vectors % 3; vector += 6) dense_one(2, 3, m, a[0], c[0], vector, rectify);
    for (; vector + 3 <= m->vectors; vector += 3) dense_panel(3, m, rows, a, c, vector, rectify);
    if (m->vectors - vector == 2) dense_panel(2, m, rows, a, c, vector, rectify);
    if (m->vectors - vector == 1) dense_panel(1, m, rows, a, c, vector, rectify);
}

enum { GRU, LSTM, RNN };

INLINE void begin(const int kind, const int nr, const Cell *cell, long panel, const float *products, vf *sums) {
#pragma GCC unroll 4
    for (int j = 0; j < nr; j++) sums[j] = load(products + (panel * nr + j) * WIDTH);
    /* The new gate of a GRU resets what comes of the state, and not what comes of the input. */
    if (kind == GRU) sums[2] = load(cell->bias + panel * WIDTH);
}

INLINE void finish(const int kind, const vf *sums, const float *products, long panel, const float *before, float *after,
                   float *memory) {
    const long unit = panel * WIDTH;
    if (kind == GRU) {
        vf reset = sigmoid_(sums[0]), update = sigmoid_(sums[1]);
        vf fresh = tanh_(fma_(reset, sums[2], load(products + (panel * 3 + 2) * WIDTH)));
        store(after + unit, fma_(update, load(before + unit) - fresh, fresh));
    } else if (kind == LSTM) {
        vf kept = sigmoid_(sums[1]) * load(memory + unit);
        vf cells = fma_(sigmoid_(sums[0]), tanh_(sums[2]), kept);
        store(memory + unit, cells);
        store(after + unit, sigmoid_(sums[3]) * tanh_(cells));
    } else {
        store(after + unit, tanh_(sums[0]));
    }
}

INLINE void cell_tile(const int kind, const int mr, const int nr, const Cell *cell, long panel, const float *products,
                      const float *before, float *after, float *memory) {
    vf sums[MOST_ROWS][MOST_VECTORS];
    const float *row[MOST_ROWS];
    const long wide = cell->padded * nr;
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++) {
        begin(kind, nr, cell, panel, products + i * wide, sums[i]);
        row[i] = before + i * cell->padded;
    }
    multiply(mr, nr, sums, row, &cell->recurrent, cell->recurrent.weights + panel * nr * WIDTH * cell->hidden);
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++) {
        const long at = i * cell->padded;
        finish(kind, sums[i], products + i * wide, panel, before + at, after + at, memory + at);
    }
}

INLINE void cell_one(const int kind, const int np, const int nr, const Cell *cell, long panel, const float *products,
                     const float *before, float *after, float *memory) {
    vf sums[MOST_VECTORS];
#pragma GCC unroll 8
    for (int p = 0; p < np; p++) begin(kind, nr, cell, panel + p, products, sums + p * nr);
    multiply_one(np, nr, sums, before, &cell->recurrent, cell->recurrent.weights + panel * nr * WIDTH * cell->hidden);
#pragma GCC unroll 8
    for (int p = 0; p < np; p++) finish(kind, sums + p * nr, products, panel + p, before, after, memory);
}

INLINE void recur(const int kind, const int nr, const int np, const Cell *cell, long rows, const float *products,
                  const float *before, float *after, float *memory) {
    const long panels = cell->padded / WIDTH, h = cell->padded, wide = h * nr;
#define TILE(mr) cell_tile(kind, mr, nr, cell, panel, products + r * wide, before + r * h, after + r * h, memory + r * h)
    long panel = 0;
    if (rows == 1)
        for (; panel + np <= panels; panel += np) cell_one(kind, np, nr, cell, panel, products, before, after, memory);
    for (; panel < panels; panel++) {
        long r = 0;
        for (; r + TALL(nr) <= rows; r += TALL(nr)) TILE(TALL(nr));
        if (TALL(nr) > 4 && r + 4 <= rows) TILE(4), r += 4;
        if (TALL(nr) > 2 && r + 2 <= rows) TILE(2), r += 2;
        if (r < rows) TILE(1);
    }
#undef TILE
}

static void gru(const Cell *cell, long rows, const float *products, const float *before, float *after) {
    recur(GRU, 3, 2, cell, rows, products, before, after, after);
}

static void lstm(const Cell *cell, long rows, const float *products, const float *before, float *after, float *memory) {
    recur(LSTM, 4, 2, cell, rows, products, before, after, memory);
}

static void rnn(const Cell *cell, long rows, const float *products, const float *before, float *after) {
    recur(RNN, 1, 4, cell, rows, products, before, after, after);
}
