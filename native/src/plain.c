/* The kernels in vectors of four, for any processor. */
#include "matrix.h"
#include "posteriors.h"
#include "spectrum.h"

const Kernels streamrnn_plain = {"plain", WIDTH, dense, gru, lstm, rnn, mel_bands, mel_bands, softmax, sigmoid};
