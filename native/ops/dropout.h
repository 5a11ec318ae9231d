// y = x / (1-p) with probability 1-p, else 0 (Srivastava et al. 2014). Element i is decided by Philox at (seed, stream, i)
// alone, so the gradient is the same call on dy. p in [0, 1). f32 or bf16; y may be x.
#pragma once
#include "core/op.h"

MW_OP(dropout, (In x, Out y, float p, int64_t seed, int64_t stream))
