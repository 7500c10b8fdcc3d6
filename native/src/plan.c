/* Plans out of descriptions: sizes are checked, weights packed, and all room that a step needs is set aside. */
#include "plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double LARGEST = 256.0 * 1024 * 1024; /* floats of a plan */
static const long WIDEST = 1 << 20;

/* Zeros, on a line of the cache of their own; NULL where there is too much of it. */
static float *room(Plan *plan, double floats) {
    plan->floats += floats;
    if (plan->floats > LARGEST || plan->owned == (int)(sizeof plan->rooms / sizeof *plan->rooms)) return NULL;
    size_t bytes = ((size_t)floats * 4 + 127) / 64 * 64;
    void *made = aligned_alloc(64, bytes);
    if (!made) return NULL;
    memset(made, 0, bytes);
    plan->rooms[plan->owned++] = made;
    return made;
}

static float *copied(Plan *plan, const float *from, long floats) {
    float *made = room(plan, floats + 16);
    if (made) memcpy(made, from, (size_t)floats * 4);
    return made;
}

static long whole(const Plan *plan, long columns) {
    long width = plan->kernels->width;
    return (columns + width - 1) / width * width;
}

/* `at(column, k)` of a row-major (columns, inputs) array, columns and inputs in the order that `where` gives. */
static int pack(Plan *plan, Matrix *m, long columns, long segments, long length, int panel, const float *from,
                const long *column_from, const long *input_from) {
    const long inputs = segments * length, width = plan->kernels->width;
    *m = (Matrix){.segments = segments, .length = length, .columns = columns, .panel = panel};
    m->vectors = whole(plan, columns) / width;
    m->weights = room(plan, (double)m->vectors * width * inputs);
    m->bias = room(plan, (double)m->vectors * width);
    if (!m->weights || !m->bias) return 0;
    float *to = m->weights;
    for (long vector = 0; vector < m->vectors; vector += panel) {
        const long wide = (m->vectors - vector < panel ? m->vectors - vector : panel) * width;
        for (long k = 0; k < inputs; k++)
            for (long i = 0; i < wide; i++) {
                const long column = vector * width + i;
                const long row = column >= columns ? -1 : column_from ? column_from[column] : column;
                *to++ = row < 0 ? 0.0f : from[row * inputs + (input_from ? input_from[k] : k)];
            }
    }
    return 1;
}

#define REFUSE(...) return snprintf(error, 256, __VA_ARGS__), 0
#define SHORT_OF_ROOM "needs more room than there is"

static int given(const Description *d, int numbers, int arrays, char *error) {
    if (d->numbers_given != numbers || d->arrays_given != arrays)
        REFUSE("takes %d numbers and %d arrays", numbers, arrays);
    for (int i = 0; i < numbers; i++)
        if (d->numbers[i] < 0 || d->numbers[i] > WIDEST) REFUSE("%ld is no number for it", d->numbers[i]);
    return 1;
}

static int sized(const Description *d, int array, long floats, char *error) {
    if (d->sizes[array] != floats) REFUSE("array %d has %ld floats, not %ld", array, d->sizes[array], floats);
    return 1;
}

static void places(int32_t *place, long base, long n, long frequency, long step) {
    if (n == 1) {
        place[frequency] = (int32_t)base;
        return;
    }
    const long factor = n >= 4 ? 4 : 2, q = n / factor;
    for (long i = 0; i < factor; i++) places(place, base + i * q, q, frequency + i * step, step * factor);
}

/* numbers: hop (0: a step is a window), window, size of the transform, first bin, bins, bands; arrays: taper, weights
 * (bands, bins). */
static int build_mel(Plan *plan, Stage *s, const Description *d, char *error) {
    if (!given(d, 6, 2, error)) return 0;
    const long hop = d->numbers[0], window = d->numbers[1], size = d->numbers[2], first = d->numbers[3],
               bins = d->numbers[4], bands = d->numbers[5];
    if (size < 2 || size > 65536 || (size & (size - 1)) || window < 1 || window > size || hop > window || bins < 1 ||
        bands < 1 || first + bins > size / 2 + 1 || (hop ? s->in != 1 : s->in != window))
        REFUSE("its sizes do not fit");
    if (!sized(d, 0, window, error) || !sized(d, 1, bands * bins, error)) return 0;
    s->hop = hop ? hop : 1;
    s->window = window;
    s->remembers = hop > 0;
    s->tail = hop ? (window + hop - 1) / hop * hop - hop : 0;
    s->out = bands;
    Mel *mel = &s->mel;
    const long half = size / 2, width = plan->kernels->width;
    *mel = (Mel){.window = window, .size = size, .half = half, .first = first, .bins = bins, .bands = bands};
    mel->taper = copied(plan, d->arrays[0], window);
    mel->twiddles = room(plan, 6.0 * half);
    mel->split = room(plan, 2.0 * bins);
    mel->place = (int32_t *)room(plan, half);
    mel->begin = (int32_t *)room(plan, bands);
    mel->end = (int32_t *)room(plan, bands);
    mel->weights = (float **)room(plan, 2.0 * bands);
    float *all = copied(plan, d->arrays[1], bands * bins);
    mel->nothing = room(plan, window + 16.0);
    mel->real = room(plan, (double)half * width);
    mel->imaginary = room(plan, (double)half * width);
    mel->power = room(plan, (double)bins * width);
    mel->energies = room(plan, (double)bands * width);
    if (!mel->taper || !mel->twiddles || !mel->split || !mel->place || !mel->begin || !mel->end || !mel->weights ||
        !all || !mel->nothing || !mel->real || !mel->imaginary || !mel->power || !mel->energies)
        REFUSE(SHORT_OF_ROOM);
    const double turn = -2.0 * acos(-1.0);
    float *to = mel->twiddles;
    for (long n = half; n >= 4; n /= 4)
        for (long j = 0; j < n / 4; j++)
            for (long power = 1; power <= 3; power++) {
                *to++ = (float)cos(turn * (double)(j * power) / (double)n);
                *to++ = (float)sin(turn * (double)(j * power) / (double)n);
            }
    for (long i = 0; i < bins; i++) {
        mel->split[2 * i] = (float)cos(turn * (double)(first + i) / (double)size);
        mel->split[2 * i + 1] = (float)sin(turn * (double)(first + i) / (double)size);
    }
    places(mel->place, 0, half, 0, 1);
    for (long band = 0; band < bands; band++) {
        const float *weights = all + band * bins;
        long begin = 0, end = bins;
        while (end > begin && weights[end - 1] == 0.0f) end--;
        while (begin < end && weights[begin] == 0.0f) begin++;
        mel->begin[band] = (int32_t)begin;
        mel->end[band] = (int32_t)end;
        mel->weights[band] = all + band * bins + begin;
    }
    return 1;
}

/* numbers: inputs, maps, frames, bands, hop of frames, hop of bands; arrays: patterns (maps, inputs, frames, bands),
 * bias. */
static int build_convolution(Plan *plan, Stage *s, const Description *d, char *error) {
    if (!given(d, 6, 2, error)) return 0;
    const long inputs = d->numbers[0], maps = d->numbers[1], frames = d->numbers[2], bands = d->numbers[3];
    s->hop = d->numbers[4];
    s->hop_bands = d->numbers[5];
    if (inputs < 1 || maps < 1 || frames < 1 || bands < 1 || s->hop < 1 || s->hop > frames || s->hop_bands < 1 ||
        s->in % inputs || bands > s->in / inputs || (double)maps * inputs * frames * bands > LARGEST)
        REFUSE("its sizes do not fit");
    const long run = bands * inputs, pad = bands / 2;
    if (!sized(d, 0, maps * run * frames, error) || !sized(d, 1, maps, error)) return 0;
    s->bands = s->in / inputs;
    s->inputs = inputs;
    s->tail = frames - s->hop;
    s->remembers = 1;
    s->margin = pad * inputs;
    s->stride = s->in + 2 * s->margin;
    s->positions = (s->bands + 2 * pad - bands) / s->hop_bands + 1;
    s->out = maps * s->positions;
    long *input_from = malloc((size_t)(frames * run) * sizeof *input_from);
    if (!input_from) REFUSE(SHORT_OF_ROOM);
    /* Maps of a band lie side by side, in the patterns they are apart. */
    for (long k = 0; k < frames * run; k++) {
        const long frame = k / run, band = k % run / inputs, input = k % inputs;
        input_from[k] = (input * frames + frame) * bands + band;
    }
    int packed = pack(plan, &s->matrix, maps, frames, run, 3, d->arrays[0], NULL, input_from);
    free(input_from);
    if (!packed) REFUSE(SHORT_OF_ROOM);
    s->matrix.stride = s->stride;
    memcpy(s->matrix.bias, d->arrays[1], (size_t)maps * 4);
    return 1;
}

/* numbers: outputs; arrays: weights (outputs, inputs), bias. */
static int build_dense(Plan *plan, Stage *s, const Description *d, char *error) {
    if (!given(d, 1, 2, error)) return 0;
    s->out = d->numbers[0];
    if (s->out < 1 || (double)s->out * s->in > LARGEST) REFUSE("its sizes do not fit");
    if (!sized(d, 0, s->out * s->in, error) || !sized(d, 1, s->out, error)) return 0;
    if (!pack(plan, &s->matrix, s->out, 1, s->in, 3, d->arrays[0], NULL, NULL)) REFUSE(SHORT_OF_ROOM);
    memcpy(s->matrix.bias, d->arrays[1], (size_t)s->out * 4);
    return 1;
}

/* numbers: hidden; arrays: input weights (gates * hidden, inputs), recurrent weights (gates * hidden, hidden), biases
 * of both, in torch's order of gates: reset, update, new; input, forget, cell, output. */
static int build_cell(Plan *plan, Stage *s, const Description *d, char *error) {
    const int gates = s->kind == GRU_LAYER ? 3 : s->kind == LSTM_LAYER ? 4 : 1;
    if (!given(d, 1, 4, error)) return 0;
    const long hidden = d->numbers[0], rows = gates * hidden, width = plan->kernels->width;
    if (hidden < 1 || (double)rows * (s->in + hidden) > LARGEST) REFUSE("its sizes do not fit");
    if (!sized(d, 0, rows * s->in, error) || !sized(d, 1, rows * hidden, error) || !sized(d, 2, rows, error) ||
        !sized(d, 3, rows, error))
        return 0;
    s->out = hidden;
    Cell *cell = &s->cell;
    *cell = (Cell){.hidden = hidden, .padded = whole(plan, hidden), .gates = gates};
    const long columns = cell->padded * gates;
    long *column_from = malloc((size_t)columns * sizeof *column_from);
    if (!column_from) REFUSE(SHORT_OF_ROOM);
    for (long i = 0; i < columns; i++) {
        const long gate = i / width % gates, unit = i / (gates * width) * width + i % width;
        column_from[i] = unit < hidden ? gate * hidden + unit : -1;
    }
    int packed = pack(plan, &s->matrix, columns, 1, s->in, 3, d->arrays[0], column_from, NULL) &&
                 pack(plan, &cell->recurrent, columns, 1, hidden, gates, d->arrays[1], column_from, NULL) &&
                 (cell->bias = room(plan, cell->padded));
    for (long i = 0; packed && i < columns; i++) {
        const long row = column_from[i];
        if (row < 0) continue;
        s->matrix.bias[i] = d->arrays[2][row];
        if (gates == 3 && row >= 2 * hidden)
            cell->bias[row - 2 * hidden] = d->arrays[3][row];
        else
            s->matrix.bias[i] += d->arrays[3][row];
    }
    free(column_from);
    if (!packed) REFUSE(SHORT_OF_ROOM);
    return 1;
}

static int build_scale(Plan *plan, Stage *s, const Description *d, char *error) {
    if (!given(d, 0, 2, error) || !sized(d, 0, s->in, error) || !sized(d, 1, s->in, error)) return 0;
    s->mean = copied(plan, d->arrays[0], s->in);
    s->deviation = copied(plan, d->arrays[1], s->in);
    if (!s->mean || !s->deviation) REFUSE(SHORT_OF_ROOM);
    return 1;
}

static int build_simple(Stage *s, const Description *d, char *error) {
    if (!given(d, s->kind == FRAME ? 2 : 1, 0, error)) return 0;
    const long n = d->numbers[0];
    if (n < 1) REFUSE("its sizes do not fit");
    s->remembers = s->kind != STACK;
    s->window = n;
    if (s->kind == FRAME) {
        s->hop = d->numbers[1];
        if (s->hop < 1 || s->hop > n) REFUSE("its sizes do not fit");
        s->tail = (n + s->hop - 1) / s->hop * s->hop - s->hop;
        s->out = s->in * n;
    } else if (s->kind == DELTA) {
        s->tail = 2 * n;
        s->out = 2 * s->in;
    } else if (s->kind == STACK) {
        s->hop = n;
        s->out = n * s->in;
    } else {
        s->tail = n - 1;
        s->out = 4 * s->in;
    }
    return 1;
}

static int build_posteriors(Plan *plan, Stage *s, const Description *d, char *error) {
    if (!given(d, 0, 1, error) || !sized(d, 0, 1, error)) return 0;
    s->temperature = d->arrays[0][0];
    plan->columns = s->in;
    plan->logits = room(plan, whole(plan, s->in));
    plan->posteriors = room(plan, whole(plan, s->in));
    if (!plan->logits || !plan->posteriors) REFUSE(SHORT_OF_ROOM);
    return 1;
}

static const char *const KINDS[] = {"frame",       "mel",   "scale", "delta", "stack", "statistics",
                                    "convolution", "dense", "gru",   "lstm",  "rnn",   "softmax",
                                    "sigmoid"};

static int build(Plan *plan, int i, const Description *d, long in, char *error) {
    Stage *s = &plan->stages[i];
    int kind = 0;
    while (kind <= SIGMOID && strcmp(KINDS[kind], d->kind)) kind++;
    if (kind > SIGMOID) REFUSE("is no stage");
    *s = (Stage){.kind = (Kind)kind, .in = in, .out = in, .hop = 1, .stride = in};
    const int last = i == plan->count - 1, after_cell = i && is_cell(&plan->stages[i - 1]);
    if (last != (kind >= SOFTMAX)) REFUSE("%s", last ? "makes no posteriors" : "must be the last");
    if (after_cell && kind != DENSE && !is_cell(s)) REFUSE("cannot follow a cell");
    switch (s->kind) {
        case MEL: return build_mel(plan, s, d, error);
        case CONVOLUTION: return build_convolution(plan, s, d, error);
        case DENSE: return build_dense(plan, s, d, error);
        case GRU_LAYER:
        case LSTM_LAYER:
        case RNN_LAYER: return build_cell(plan, s, d, error);
        case SCALE: return build_scale(plan, s, d, error);
        case SOFTMAX:
        case SIGMOID: return build_posteriors(plan, s, d, error);
        default: return build_simple(s, d, error);
    }
}

/* Floats that the stages need for so many streams at once and so many rows, which are streams times hops. */
static double needed(const Plan *plan, double streams, double rows) {
    double floats = 0;
    for (int i = 0; i < plan->count; i++) {
        const Stage *s = &plan->stages[i];
        floats += (streams * s->tail + rows * s->steps) * s->stride;
        if (is_cell(s)) floats += (rows * s->steps * (s->cell.gates + 1) + 2 * streams) * s->cell.padded;
    }
    return floats;
}

static int furnish(Plan *plan, char *error) {
    double steps = 1;
    for (int i = plan->count - 1; i >= 0; i--) {
        Stage *s = &plan->stages[i];
        if ((steps *= s->hop) > WIDEST || (double)s->tail * s->in > LARGEST) REFUSE("a hop of it is too long");
        s->steps = (long)steps;
    }
    plan->hop = plan->stages[0].steps;
    /* Few rows stay in the cache from one stage to the next, many read the weights fewer times. */
    plan->most_streams = CHUNK;
    plan->most_rows = 4 * CHUNK;
    while (plan->most_rows > 1 && needed(plan, plan->most_streams, plan->most_rows) > 4.0 * 1024 * 1024) {
        plan->most_rows /= 2;
        if (plan->most_streams > plan->most_rows) plan->most_streams = plan->most_rows;
    }
    const double streams = plan->most_streams, rows = plan->most_rows;
    for (int i = 0; i < plan->count; i++) {
        Stage *s = &plan->stages[i];
        if (!i || !is_cell(s - 1)) s->input = room(plan, (streams * s->tail + rows * s->steps) * s->stride);
        else s->input = s[-1].states;
        if (is_cell(s)) {
            s->products = room(plan, rows * s->steps * s->cell.padded * s->cell.gates);
            s->states = room(plan, (rows * s->steps + streams) * s->cell.padded);
            s->memory = room(plan, streams * s->cell.padded);
            if (!s->products || !s->states || !s->memory) REFUSE(SHORT_OF_ROOM);
            plan->sizes[plan->states++] = s->cell.hidden;
            if (s->kind == LSTM_LAYER) plan->sizes[plan->states++] = s->cell.hidden;
        }
        if (!s->input) REFUSE(SHORT_OF_ROOM);
        if (s->remembers) plan->sizes[plan->states++] = s->tail * s->in;
    }
    return 1;
}

Plan *plan_new(const Kernels *kernels, long channels, int count, const Description *descriptions, char error[256]) {
    char why[200] = "";
    Plan *plan = calloc(1, sizeof *plan);
    if (!plan) return snprintf(error, 256, "a plan " SHORT_OF_ROOM), NULL;
    plan->kernels = kernels;
    plan->channels = channels;
    plan->count = count;
    int built = count > 0 && count <= MOST_STAGES && channels > 0 && channels <= WIDEST;
    if (!built) snprintf(error, 256, "%d stages on %ld channels: cannot be", count, channels);
    for (int i = 0; built && i < count; i++) {
        const long in = i ? plan->stages[i - 1].out : channels;
        built = in <= WIDEST && build(plan, i, &descriptions[i], in, why);
        if (!built) snprintf(error, 256, "stage %d, %.20s: %s", i, descriptions[i].kind, *why ? why : "is too wide");
    }
    if (built && !furnish(plan, why)) built = 0, snprintf(error, 256, "%s", why);
    if (built) return plan;
    plan_free(plan);
    return NULL;
}

void plan_free(Plan *plan) {
    if (!plan) return;
    for (int i = 0; i < plan->owned; i++) free(plan->rooms[i]);
    free(plan);
}
