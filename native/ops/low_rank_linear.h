// A linear layer with the second half of a low-rank product (LoRA) and DoRA's magnitude, finished as the sums of the base
// product leave the registers:
//   v = x·weightᵀ + scale · low·bᵀ,   y = magnitude/norm ⊙ v + bias
// x [T, K], weight [N, K], b [N, r], magnitude [N], bias [N], y and v [T, N] f32 or bf16; low [T, r] and norm [N] f32.
// Absent: magnitude and norm (LoRA, factor 1), bias, and v (not stored). A norm of 0 gives factor 0.
#pragma once
#include "core/op.h"

MW_OP(low_rank_linear, (In x, In weight, In low, In b, In magnitude, In norm, In bias, Out v, Out y, float scale))

// The gradient to x, dx (+)= dv·weight + drop(dlow·a), with the same elements dropped as in low_rank_down. dv [T, N], dx
// [T, K], a [r, K] f32 or bf16, dlow [T, r] f32.
MW_OP(low_rank_linear_dx,
      (In dv, In weight, In dlow, In a, Out dx, bool accumulate, float p, int64_t seed, int64_t stream))
