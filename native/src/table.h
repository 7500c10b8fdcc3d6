/* All kernels for the instruction set that a file has named, as a table. */
#include "matrix.h"
#include "posteriors.h"
#include "spectrum.h"

#define TABLE(name, few) \
    const Kernels streamrnn_##name = {#name, WIDTH, dense, gru, lstm, rnn, few, mel_bands, softmax, sigmoid};
