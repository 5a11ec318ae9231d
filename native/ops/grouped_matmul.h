// One matrix product per expert over rows that are sorted by expert (Gale et al. 2022, MegaBlocks; Tan et al. 2024,
// ScatterMoE): rows offsets[e] … offsets[e+1]-1 belong to expert e, and may be none.
//   transpose_weight:  y_i = alpha · x_{rows[i]} · W_eᵀ (+ y_i)     W [E, N, K], x [·, K], y [R, N]
//   otherwise:         y_i = alpha · x_{rows[i]} · W_e  (+ y_i)     W [E, N, K], x [·, N], y [R, K]
// offsets [E+1] i32. `rows` [R] i32 says which row of x feeds row i of y; absent: row i. f32 or bf16, sums f32.
#pragma once
#include "core/op.h"

MW_OP(grouped_matmul,
      (In x, In weight, In offsets, In rows, Out y, bool transpose_weight, float alpha, bool accumulate))

// dW_e = alpha · Σ_{i of e} dy_iᵀ · x_{rows[i]} (+ dW_e),   dy [R, N], x [·, K], dW [E, N, K]. An expert without rows gets 0.
MW_OP(grouped_matmul_weight_grad, (In dy, In x, In offsets, In rows, Out dweight, float alpha, bool accumulate))
