/* The kernels in vectors of four, for any processor. */
#include "table.h"
TABLE(plain, mel_bands)
