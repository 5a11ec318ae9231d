// Softmax top-K routing (Shazeer et al. 2017; Jiang et al. 2024, §2.1).
//   probs = softmax(logits),  experts = the K largest of a row, best first, lower index first on ties
//   weights = probs of the chosen, divided by their sum when `renormalize`
// With a bias the K largest of probs + bias are chosen; the weights stay those of the probs (Wang et al. 2024).
// logits, probs [T, E] f32; bias [E] f32, may be left out; experts [T, K] i32; weights [T, K] f32.
#pragma once
#include "core/op.h"

MW_OP(router, (In logits, In bias, Out probs, Out experts, Out weights, bool renormalize))

// dlogits (+)= gradient through the weights; the choice itself has none.
MW_OP(router_grad, (In dweights, In probs, In experts, Out dlogits, bool renormalize, bool accumulate))

// bias_e += rate · sign(mean count - count_e), in place: experts that were chosen less often than the mean go up (DeepSeek-AI
// 2024, §2.1.2). A count is over all of `experts`, each [T, K] i32; bias [E] f32. E · count_e is compared with the sum, exactly.
MW_OP(router_bias, (InList experts, Out bias, float rate))
