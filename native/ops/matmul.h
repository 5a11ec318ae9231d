// Matrix product: every dense linear layer, forward and backward.
//   c = alpha · op(a) · op(b) (+ bias) (+ c),   op(x) = x or xᵀ
// a, b, c are row-major matrices (leading axes are folded into rows), each f32 or bf16; sums are f32. bias [N] is added to
// every row. With `accumulate` the old content of c is added.
#pragma once
#include "core/op.h"

MW_OP(matmul, (In a, In b, In bias, Out c, bool transpose_a, bool transpose_b, float alpha, bool accumulate))

// y[n] (+)= Σ_t x[t, n]: the gradient of a bias. Rows are added in blocks of fixed size, in order.
MW_OP(column_sum, (In x, Out y, bool accumulate))
