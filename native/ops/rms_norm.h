// Root-mean-square norm of each row (Zhang and Sennrich 2019, eq. 4).
//   y = x · r · weight,  r = 1 / sqrt(mean(x²) + eps)
// D is the size of weight, rows are x's elements / D (so a head's width normalises each head). x, y, weight f32 or bf16;
// rstd [rows] f32 keeps r for the backward pass. Sums are f32.
#pragma once
#include "core/op.h"

MW_OP(rms_norm, (In x, In weight, Out y, Out rstd, float eps))

// dx (+)= r · (dy·w − x · r² · mean(dy·w·x)),  dweight [D] f32 (+)= Σ_t dy·x·r
// dx or dweight may be absent. Row sums for dweight go through blocks of 32 rows, added in block order, so that the bits do
// not depend on the number of threads.
MW_OP(rms_norm_grad,
      (In dy, In x, In weight, In rstd, Out dx, Out dweight, bool accumulate_dx, bool accumulate_dweight))
