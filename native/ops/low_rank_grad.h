// The gradient of low_rank_linear to what is narrow, in one look at dy (notation as there):
//   dv = magnitude/norm ⊙ dy               [T, N], as dy
//   dlow = scale · dv·b                     [T, r] f32
//   db (+)= scale · dvᵀ·low                 [N, r] f32
//   dmagnitude (+)= Σ_t dy ⊙ v / norm       [N] f32; the norm carries no gradient (Liu et al. 2024, §4.3)
// v, which magnitude/norm scales, is not stored: it is read off y, or computed again where that factor is 0 or too small.
// Absent: magnitude and norm (factor 1), bias, any output that isn't wanted; y, x and weight without dmagnitude. Rows are
// added in blocks of fixed size, in order.
#pragma once
#include "core/op.h"

MW_OP(low_rank_grad, (In dy, In y, In x, In weight, In low, In b, In magnitude, In norm, In bias, Out dv, Out dlow, Out db,
                      bool accumulate_db, Out dmagnitude, bool accumulate_dmagnitude, float scale))
