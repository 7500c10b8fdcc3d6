/* The kernels for processors with AVX-512. */
#define INSTRUCTIONS_AVX512
#include "kernels.h"
#if defined(STREAMRNN_X86)
#include "table.h"
TABLE(avx512, streamrnn_mel_few)
#endif
