// Row norms of an adapted weight, without building it (Liu et al. 2024, DoRA §4.3; factored form of arXiv 2603.22276):
//   norm[e, n] = ‖W_e + s·B_e·A_e‖_n,  norm² = ‖W‖² + 2s·rowsum((W·Aᵀ) ⊙ B) + s²·rowsum((B·(A·Aᵀ)) ⊙ B), at least 0
// weight [E, N, K], a [E, r, K], b [E, N, r] f32 or bf16; norm [E, N] f32. weight_square [E, N] f32 holds ‖W‖² from
// row_sum_squares, which a frozen weight needs once. W is streamed once.
#pragma once
#include "core/op.h"

MW_OP(dora_norm, (In weight, In weight_square, In a, In b, Out norm, float scale))

// y[n] = Σ_k x[n, k]²; leading axes are rows.
MW_OP(row_sum_squares, (In x, Out y))
