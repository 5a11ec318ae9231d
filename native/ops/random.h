// Random tensors from Philox-4x32-10 (Salmon et al. 2011): element i is a function of (seed, stream, i) alone: it takes
// word w = i % 4 of block i / 4. y f32 or bf16; values are computed in double and rounded once.
//   random_normal: mean + std·N(0,1) by Box–Muller: words a, b of elements i, i+1 (i even) give a radius of
//     sqrt(-2 ln((a+1)/2^32)) and an angle of 2π·b/2^32; cosine goes to i, sine to i+1.
//   random_uniform: low + (high-low)·floor(word / 2^8)/2^24, in [low, high): what rounds up to high becomes the number below.
#pragma once
#include "core/op.h"

MW_OP(random_normal, (Out y, double mean, double std, int64_t seed, int64_t stream))
MW_OP(random_uniform, (Out y, double low, double high, int64_t seed, int64_t stream))
