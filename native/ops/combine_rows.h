// Brings expert outputs back to token order, without atomics: token t adds its K rows in slot order.
//   out[t] (+)= Σ_k weights[t, k] · y[positions[t·K + k]]
// y [N, D] and out [T, D] f32 or bf16; weights [T, K] f32, absent: 1; positions [N] i32 from sort_by_expert.
#pragma once
#include "core/op.h"

MW_OP(combine_rows, (In y, In weights, In positions, Out out, bool accumulate))

// dy[positions[s]] = weights[s] · dout[t],  dweights[s] = dout[t] · y[positions[s]]. dweights (and then y) may be absent.
MW_OP(combine_rows_grad, (In dout, In y, In weights, In positions, Out dy, Out dweights))
