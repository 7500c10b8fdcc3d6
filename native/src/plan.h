/* A plan: stages one after another with their packed weights and room to compute in, and what runs it. */
#ifndef STREAMRNN_PLAN_H
#define STREAMRNN_PLAN_H

#include "kernels.h"

enum { MOST_STAGES = 64, MOST_NUMBERS = 8, MOST_ARRAYS = 4, MOST_STATES = 2 * MOST_STAGES };

typedef enum {
    FRAME,
    MEL,
    SCALE,
    DELTA,
    STACK,
    STATISTICS,
    CONVOLUTION,
    DENSE,
    GRU_LAYER,
    LSTM_LAYER,
    RNN_LAYER,
    SOFTMAX,
    SIGMOID
} Kind;

/* What the caller says of a stage. The arrays are copied. */
typedef struct {
    const char *kind;
    int numbers_given, arrays_given;
    long numbers[MOST_NUMBERS];
    const float *arrays[MOST_ARRAYS];
    long sizes[MOST_ARRAYS];
} Description;

typedef struct {
    Kind kind;
    long in, out;   /* values of an input step and of an output step */
    long hop, tail; /* input steps an output step, and those before it that it still reaches back to */
    int remembers;  /* whether the tail is a state, which may be of no steps at all */
    long steps;     /* input steps a hop of the plan */
    long stride;    /* floats from one input step to the next, of which the first `margin` are zeros */
    long margin;
    float *input;   /* room for tails and inputs of all streams; none for a stage that reads those of a cell */
    long window;
    long bands, inputs, hop_bands, positions; /* of a convolution */
    float temperature;
    float *mean, *deviation;
    Matrix matrix;
    Cell cell;
    Mel mel;
    float *products, *states, *memory; /* of a cell: input products, hidden states from the one before on, cells */
} Stage;

typedef struct {
    const Kernels *kernels;
    int count, states;
    Stage stages[MOST_STAGES];
    long sizes[MOST_STATES]; /* floats of each state, a stream */
    long channels, hop, columns;
    long most_streams, most_rows; /* streams at once, and streams times hops */
    float *logits, *posteriors;   /* a row, padded */
    double floats;                /* of all rooms */
    int owned;
    void *rooms[2048];
} Plan;

/* A plan, or NULL and why in `error`. */
Plan *plan_new(const Kernels *kernels, long channels, int count, const Description *descriptions, char error[256]);
void plan_free(Plan *plan);

/* samples (batch, hops * hop, channels) -> posteriors (batch, hops, columns); states (batch, ...) before and after. */
void plan_run(Plan *plan, long batch, long hops, const float *samples, float *posteriors, const float *const *before,
              float *const *after);

static inline int is_cell(const Stage *stage) { return stage->kind >= GRU_LAYER && stage->kind <= RNN_LAYER; }

#endif
