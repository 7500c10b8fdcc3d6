/* A plan's step: blocks of streams and hops go through the stages; nothing is allocated, nothing outlives a call. */
#include <math.h>
#include <string.h>

#include "plan.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

/* Where the value of a stream `s` at step `t` stands: base + s * across + t * along. */
typedef struct {
    float *base;
    long across, along;
} View;

static float *at(View v, long stream, long step) { return v.base + stream * v.across + step * v.along; }

/* A block of streams while it is run: views of every stage's input and of its output. */
typedef struct {
    Plan *plan;
    long streams, hops; /* hops at most at once */
    View in[MOST_STAGES], out[MOST_STAGES];
} Block;

static void lay_out(Block *block) {
    Plan *plan = block->plan;
    for (int i = 0; i < plan->count; i++) {
        Stage *s = &plan->stages[i];
        if (i && is_cell(s - 1)) {
            block->in[i] = block->out[i - 1];
        } else {
            View view = {s->input + s->tail * s->stride + s->margin, (s->tail + block->hops * s->steps) * s->stride,
                         s->stride};
            block->in[i] = view;
            if (i) block->out[i - 1] = view;
        }
        if (is_cell(s)) {
            const long h = s->cell.padded, along = block->streams * h;
            block->out[i] = (View){s->states + along, h, along};
        }
    }
}

static void run_frame(const Stage *s, const Block *block, View in, View out, long frames) {
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++) {
            const float *from = at(in, stream, (t + 1) * s->hop - s->window);
            float *to = at(out, stream, t);
            for (long channel = 0; channel < s->in; channel++)
                for (long i = 0; i < s->window; i++) *to++ = from[i * in.along + channel];
        }
}

static void run_mel(const Stage *s, const Block *block, View in, View out, long frames) {
    const Kernels *kernels = block->plan->kernels;
    const long back = s->remembers ? s->window - s->hop : 0;
    const float *windows[CHUNK];
    float *rows[CHUNK];
    long count = 0;
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++) {
            windows[count] = at(in, stream, t * s->hop - back);
            rows[count++] = at(out, stream, t);
            if (count == kernels->width) kernels->mel(&s->mel, count, windows, rows), count = 0;
        }
    if (count) (count <= 4 ? kernels->mel_few : kernels->mel)(&s->mel, count, windows, rows);
}

static void run_scale(const Stage *s, const Block *block, View in, View out, long frames) {
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++) {
            const float *restrict from = at(in, stream, t);
            float *restrict to = at(out, stream, t);
            for (long i = 0; i < s->in; i++) to[i] = (from[i] - s->mean[i]) / s->deviation[i];
        }
}

static void run_delta(const Stage *s, const Block *block, View in, View out, long frames) {
    const long reach = s->window;
    float squares = 0.0f;
    for (long k = 1; k <= reach; k++) squares += 2.0f * (float)(k * k);
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++) {
            const float *middle = at(in, stream, t - reach);
            float *to = at(out, stream, t);
            for (long i = 0; i < s->in; i++) {
                float slope = 0.0f;
                for (long k = 1; k <= reach; k++)
                    slope += (float)k * (middle[k * in.along + i] - middle[i - k * in.along]);
                to[i] = middle[i];
                to[s->in + i] = slope / squares;
            }
        }
}

static void run_stack(const Stage *s, const Block *block, View in, View out, long frames) {
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++)
            for (long k = 0; k < s->hop; k++)
                memcpy(at(out, stream, t) + k * s->in, at(in, stream, t * s->hop + k), (size_t)s->in * 4);
}

static void run_statistics(const Stage *s, const Block *block, View in, View out, long frames) {
    const long n = s->window;
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++) {
            const float *from = at(in, stream, t - n + 1);
            float *to = at(out, stream, t);
            for (long i = 0; i < s->in; i++) {
                float sum = 0.0f, squares = 0.0f, least = from[i], most = from[i];
                for (long k = 0; k < n; k++) {
                    const float x = from[k * in.along + i];
                    sum += x;
                    least = x < least ? x : least;
                    most = x > most ? x : most;
                }
                const float mean = sum / (float)n;
                for (long k = 0; k < n; k++) {
                    const float away = from[k * in.along + i] - mean;
                    squares += away * away;
                }
                to[i] = mean;
                to[s->in + i] = sqrtf(squares / (float)n + 1e-8f);
                to[2 * s->in + i] = least;
                to[3 * s->in + i] = most;
            }
        }
}

static void run_convolution(const Stage *s, const Block *block, View in, View out, long frames) {
    const Kernels *kernels = block->plan->kernels;
    const float *a[CHUNK];
    float *c[CHUNK];
    long count = 0;
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++) {
            const float *from = at(in, stream, t * s->hop - s->tail) - s->margin;
            float *to = at(out, stream, t);
            for (long position = 0; position < s->positions; position++) {
                a[count] = from + position * s->hop_bands * s->inputs;
                c[count++] = to + position * s->matrix.columns;
                if (count == CHUNK) kernels->dense(&s->matrix, count, a, c, 1), count = 0;
            }
        }
    if (count) kernels->dense(&s->matrix, count, a, c, 1);
}

/* Every step of every stream through a matrix, all streams of a step before those of the next. */
static void run_dense(const Stage *s, const Block *block, View in, View out, long frames) {
    const Kernels *kernels = block->plan->kernels;
    const float *a[CHUNK];
    float *c[CHUNK];
    long count = 0;
    for (long t = 0; t < frames; t++)
        for (long stream = 0; stream < block->streams; stream++) {
            a[count] = at(in, stream, t);
            c[count++] = at(out, stream, t);
            if (count == CHUNK) kernels->dense(&s->matrix, count, a, c, 0), count = 0;
        }
    if (count) kernels->dense(&s->matrix, count, a, c, 0);
}

static void run_cell(const Stage *s, const Block *block, View in, View out, long frames) {
    const Kernels *kernels = block->plan->kernels;
    const long streams = block->streams, wide = s->cell.padded * s->cell.gates;
    const View products = {s->products, wide, streams * wide};
    run_dense(s, block, in, products, frames);
    for (long t = 0; t < frames; t++) {
        const float *given = at(products, 0, t), *before = at(out, 0, t - 1);
        float *after = at(out, 0, t);
        if (s->kind == GRU_LAYER)
            kernels->gru(&s->cell, streams, given, before, after);
        else if (s->kind == LSTM_LAYER)
            kernels->lstm(&s->cell, streams, given, before, after, s->memory);
        else
            kernels->rnn(&s->cell, streams, given, before, after);
    }
}

static void run_posteriors(const Stage *s, const Block *block, View in, View out, long frames) {
    const Plan *plan = block->plan;
    for (long stream = 0; stream < block->streams; stream++)
        for (long t = 0; t < frames; t++) {
            memcpy(plan->logits, at(in, stream, t), (size_t)s->in * 4);
            if (s->kind == SOFTMAX)
                plan->kernels->softmax(s->in, s->temperature, plan->logits, plan->posteriors);
            else
                plan->kernels->sigmoid(s->in, s->temperature, plan->logits, plan->posteriors);
            memcpy(at(out, stream, t), plan->posteriors, (size_t)s->in * 4);
        }
}

static void run_stage(const Block *block, int i, long hops) {
    const Stage *s = &block->plan->stages[i];
    const View in = block->in[i], out = block->out[i];
    const long frames = hops * (s->steps / s->hop);
    switch (s->kind) {
        case FRAME: run_frame(s, block, in, out, frames); break;
        case MEL: run_mel(s, block, in, out, frames); break;
        case SCALE: run_scale(s, block, in, out, frames); break;
        case DELTA: run_delta(s, block, in, out, frames); break;
        case STACK: run_stack(s, block, in, out, frames); break;
        case STATISTICS: run_statistics(s, block, in, out, frames); break;
        case CONVOLUTION: run_convolution(s, block, in, out, frames); break;
        case DENSE: run_dense(s, block, in, out, frames); break;
        case GRU_LAYER:
        case LSTM_LAYER:
        case RNN_LAYER: run_cell(s, block, in, out, frames); break;
        case SOFTMAX:
        case SIGMOID: run_posteriors(s, block, in, out, frames); break;
    }
}

/* Rows of `columns` floats, `stride` apart where they come from and where they go. */
static void copy_rows(float *to, long to_stride, const float *from, long from_stride, long rows, long columns) {
    if (to_stride == columns && from_stride == columns)
        memmove(to, from, (size_t)(rows * columns) * 4);
    else
        for (long i = 0; i < rows; i++) memmove(to + i * to_stride, from + i * from_stride, (size_t)columns * 4);
}

/* What streams `from` and on remember comes into the rooms of the stages. */
static void remember(const Block *block, long from, const float *const *before) {
    const Plan *plan = block->plan;
    for (int i = 0, state = 0; i < plan->count; i++) {
        const Stage *s = &plan->stages[i];
        if (is_cell(s)) {
            const long hidden = s->cell.hidden, h = s->cell.padded;
            copy_rows(s->states, h, before[state++] + from * hidden, hidden, block->streams, hidden);
            if (s->kind == LSTM_LAYER)
                copy_rows(s->memory, h, before[state++] + from * hidden, hidden, block->streams, hidden);
        } else if (s->remembers) {
            const long size = s->tail * s->in;
            for (long stream = 0; stream < block->streams; stream++)
                copy_rows(at(block->in[i], stream, -s->tail), s->stride, before[state] + (from + stream) * size, s->in,
                          s->tail, s->in);
            state++;
        }
    }
}

/* The last steps of a run become the first of the next. */
static void move_on(const Block *block, long hops) {
    const Plan *plan = block->plan;
    for (int i = 0; i < plan->count; i++) {
        const Stage *s = &plan->stages[i];
        const long steps = hops * s->steps;
        if (is_cell(s))
            memcpy(s->states, at(block->out[i], 0, steps - 1), (size_t)(block->streams * s->cell.padded) * 4);
        else if (s->tail)
            for (long stream = 0; stream < block->streams; stream++)
                copy_rows(at(block->in[i], stream, -s->tail), s->stride, at(block->in[i], stream, steps - s->tail),
                          s->stride, s->tail, s->in);
    }
}

/* And out of them again, into the arrays of the caller. */
static void hand_back(const Block *block, long from, float *const *after) {
    const Plan *plan = block->plan;
    for (int i = 0, state = 0; i < plan->count; i++) {
        const Stage *s = &plan->stages[i];
        if (is_cell(s)) {
            const long hidden = s->cell.hidden, h = s->cell.padded;
            copy_rows(after[state++] + from * hidden, hidden, s->states, h, block->streams, hidden);
            if (s->kind == LSTM_LAYER)
                copy_rows(after[state++] + from * hidden, hidden, s->memory, h, block->streams, hidden);
        } else if (s->remembers) {
            const long size = s->tail * s->in;
            for (long stream = 0; stream < block->streams; stream++)
                copy_rows(after[state] + (from + stream) * size, s->in, at(block->in[i], stream, -s->tail), s->stride,
                          s->tail, s->in);
            state++;
        }
    }
}

static void run(Plan *plan, long batch, long hops, const float *samples, float *posteriors, const float *const *before,
                float *const *after) {
    const Stage *first = &plan->stages[0];
    const long last = plan->count - 1, steps = plan->hop, columns = plan->columns;
    Block block = {.plan = plan};
    for (long from = 0; from < batch; from += block.streams) {
        block.streams = batch - from < plan->most_streams ? batch - from : plan->most_streams;
        block.hops = plan->most_rows / block.streams;
        if (block.hops > hops) block.hops = hops;
        lay_out(&block);
        remember(&block, from, before);
        for (long done = 0; done < hops; done += block.hops) {
            const long now = hops - done < block.hops ? hops - done : block.hops;
            for (long stream = 0; stream < block.streams; stream++)
                copy_rows(at(block.in[0], stream, 0), first->stride,
                          samples + ((from + stream) * hops + done) * steps * first->in, first->in, now * steps,
                          first->in);
            block.out[last] = (View){posteriors + (from * hops + done) * columns, hops * columns, columns};
            for (int i = 0; i < plan->count; i++) run_stage(&block, i, now);
            move_on(&block, now);
        }
        hand_back(&block, from, after);
    }
}

/* Numbers below the normal ones are zero while a step runs: a stream that fades out must not cost a hundred times. */
#if defined(__SSE__)
static unsigned flush(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
static void restore(unsigned before) { _mm_setcsr(before); }
#elif defined(__aarch64__)
static unsigned long flush(void) {
    unsigned long before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" ::"r"(before | (1ul << 24)));
    return before;
}
static void restore(unsigned long before) { __asm__ volatile("msr fpcr, %0" ::"r"(before)); }
#else
static int flush(void) { return 0; }
static void restore(int before) { (void)before; }
#endif

void plan_run(Plan *plan, long batch, long hops, const float *samples, float *posteriors, const float *const *before,
              float *const *after) {
    const __typeof__(flush()) mode = flush();
    run(plan, batch, hops, samples, posteriors, before, after);
    restore(mode);
}
