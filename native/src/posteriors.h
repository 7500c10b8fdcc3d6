/* Logits over the temperature -> posteriors. */
#include "simd.h"

static void softmax(long columns, float temperature, const float *logits, float *posteriors) {
    float most = logits[0], total = 0.0f;
    for (long i = 1; i < columns; i++) most = logits[i] > most ? logits[i] : most;
    for (long i = 0; i < columns; i += WIDTH)
        store(posteriors + i, exp_((load(logits + i) - splat(most)) / splat(temperature)));
    for (long i = 0; i < columns; i++) total += posteriors[i];
    for (long i = 0; i < columns; i += WIDTH) store(posteriors + i, load(posteriors + i) / splat(total));
}

static void sigmoid(long columns, float temperature, const float *logits, float *posteriors) {
    for (long i = 0; i < columns; i += WIDTH)
        store(posteriors + i, sigmoid_(load(logits + i) / splat(temperature)));
}
