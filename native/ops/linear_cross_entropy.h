// Log-probability of each row's target under softmax(x · weightᵀ), block by block: the T×V logits never exist.
//   lse[t] = log Σ_v e^(x_t · w_v),  logprob[t] = x_t · w_target - lse[t];  target -100: logprob 0, no work, no gradient
// x [T, D], weight [V, D] f32 or bf16; targets [T] i32; logprob, lse [T] f32. Throws on a target outside [0, V).
#pragma once
#include "core/op.h"

MW_OP(linear_cross_entropy, (In x, In weight, In targets, Out logprob, Out lse))

// With p = e^(logit - lse):  dlogits = dlogprob · (onehot - p),  dx (+)= dlogits · weight,  dweight (+)= dlogitsᵀ · x.
// dx or dweight may be absent. dlogprob [T] f32.
MW_OP(linear_cross_entropy_grad, (In dlogprob, In x, In weight, In targets, In lse, Out dx, Out dweight, bool accumulate_dx,
                                  bool accumulate_dweight))
