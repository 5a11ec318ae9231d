// The first half of a low-rank product, from K columns down to r, with dropout on the way:
//   low = drop(x) · aᵀ       x [T, K], a [r, K] f32 or bf16; low [T, r] f32
// drop is that of dropout.h at the same (p, seed, stream); x with its holes is not stored. With p = 0 nothing is dropped.
#pragma once
#include "core/op.h"

MW_OP(low_rank_down, (In x, In a, Out low, float p, int64_t seed, int64_t stream))

// da (+)= dlowᵀ · drop(x)   dlow [T, r], da [r, K] f32
MW_OP(low_rank_down_grad, (In x, In dlow, Out da, bool accumulate, float p, int64_t seed, int64_t stream))
