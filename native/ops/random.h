// Random tensors from Philox-4x32-10 (Salmon et al. 2011): element i is a function of (seed, stream, i) alone.
//   random_normal: mean + std·N(0,1) by Box–Muller;  random_uniform: in [low, high). y f32 or bf16.
#pragma once
#include "core/op.h"

MW_OP(random_normal, (Out y, double mean, double std, int64_t seed, int64_t stream))
MW_OP(random_uniform, (Out y, double low, double high, int64_t seed, int64_t stream))
