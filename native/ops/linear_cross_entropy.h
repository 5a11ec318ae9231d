// Log-probability of each row's target under softmax(x · weightᵀ): the T×V logits never exist all at once.
//   logprob[t] = x_t · w_target - log Σ_v e^(x_t · w_v);  target -100: logprob 0, no work, no gradient
//   entropy[t] = -Σ_v p_v · log p_v with p = softmax, of all of row t; target -100: 0. It may be absent.
// x [T, D], weight [V, D] f32 or bf16; targets [T] i32; logprob, entropy [T] f32. Throws on a target outside [0, V).
#pragma once
#include "core/op.h"

MW_OP(linear_cross_entropy, (In x, In weight, In targets, Out logprob, Out entropy))

// With p = softmax:  dlogits = dlogprob · (onehot - p),  dx (+)= dlogits · weight,  dweight (+)= dlogitsᵀ · x.
// dx or dweight may be absent. dlogprob [T] f32; dx in x's format, dweight f32.
MW_OP(linear_cross_entropy_grad, (In dlogprob, In x, In weight, In targets, Out dx, Out dweight, bool accumulate_dx,
                                  bool accumulate_dweight))

// loss [1] f32 = -scale · Σ logprob, and its gradients at once, with the three products that the gradients alone would take.
// logprob [T] f32 may be absent.
MW_OP(linear_cross_entropy_loss, (In x, In weight, In targets, Out loss, Out logprob, Out dx, Out dweight, float scale))
