/* A window or a few of them in vectors of four, with fused products: the same bits as in wider vectors, and sooner. */
#define INSTRUCTIONS_FEW
#include "kernels.h"
#if defined(STREAMRNN_X86)
#include "spectrum.h"

void streamrnn_mel_few(const Mel *mel, long count, const float *const *windows, float *const *rows) {
    mel_bands(mel, count, windows, rows);
}
#endif
