// A linear layer with the second half of a low-rank product (LoRA) and DoRA's magnitude, finished as the sums of the base
// product leave the registers:
//   y = magnitude/norm ⊙ (x·weightᵀ + scale · low·bᵀ) + bias
// x [T, K], weight [N, K], b [N, r], magnitude [N], bias [N], y [T, N] f32 or bf16; low [T, r] and norm [N] f32. magnitude
// and norm may be absent (LoRA, factor 1), and bias. A norm of 0 gives factor 0.
#pragma once
#include "core/op.h"

MW_OP(low_rank_linear, (In x, In weight, In low, In b, In magnitude, In norm, In bias, Out y, float scale))

// The gradient to x, dx (+)= dv·weight + drop(dlow·a), with the same elements dropped as in low_rank_down. dv [T, N], dx
// [T, K], a [r, K] f32 or bf16, dlow [T, r] f32.
MW_OP(low_rank_linear_dx,
      (In dv, In weight, In dlow, In a, Out dx, bool accumulate, float p, int64_t seed, int64_t stream))
