// Softmax top-K routing (Shazeer et al. 2017; Jiang et al. 2024, §2.1).
//   probs = softmax(logits),  experts = the K largest of a row, best first, lower index first on ties
//   weights = probs of the chosen, divided by their sum when `renormalize`
// logits, probs [T, E] f32; experts [T, K] i32; weights [T, K] f32.
#pragma once
#include "core/op.h"

MW_OP(router, (In logits, Out probs, Out experts, Out weights, bool renormalize))

// dlogits (+)= gradient through the weights; the choice itself has none.
MW_OP(router_grad, (In dweights, In probs, In experts, Out dlogits, bool renormalize, bool accumulate))
