/* The kernels for processors with AVX2 and FMA. */
#define INSTRUCTIONS_AVX2
#include "kernels.h"
#if defined(STREAMRNN_X86)
#include "table.h"
TABLE(avx2, streamrnn_mel_few)
#endif
