// y[n, k] = numerator[n] / denominator[n] · x[n, k]; denominator absent: 1. Merges DoRA into a weight. A denominator of 0
// gives 0. x, y [N, K] f32 or bf16 (leading axes are rows; y may be x); numerator f32 or bf16, denominator f32.
#pragma once
#include "core/op.h"

MW_OP(scale_rows, (In x, In numerator, In denominator, Out y))
