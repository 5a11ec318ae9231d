// Losses that keep a router balanced and its logits small. L layers, each with logits, probs [T, E] f32, experts [T, K] i32.
//
// Load balancing, two conventions:
//   pooled (Hugging Face):   E · Σ_e F_e · P_e over the tokens of all layers together, F_e = choices of e / (L·T); balanced: K
//   per layer (Switch, Fedus et al. 2021 eq. 4, as in MegaBlocks):  mean over layers of E/(T·K) · Σ_e count_e · P_e; balanced: 1
//   P_e = mean probability of e.  slope [L, E] is ∂loss/∂probs[l][t][e], the same for every t; counts carry no gradient.
#pragma once
#include "core/op.h"

MW_OP(load_balancing_loss, (InList probs, InList experts, Out loss, Out slope, bool pooled))

// dlogits (+)= dloss · (slope through the softmax), for one layer: slope [E], dloss [1].
MW_OP(load_balancing_loss_grad, (In dloss, In probs, In slope, Out dlogits, bool accumulate))

// loss = mean over layers and tokens of logsumexp(logits)² (Zoph et al. 2022, ST-MoE eq. 5).
MW_OP(router_z_loss, (InList logits, Out loss))

// dlogits (+)= dloss · scale · 2 · logsumexp · softmax, for one layer; scale = 1/(L·T).
MW_OP(router_z_loss_grad, (In dloss, In logits, Out dlogits, float scale, bool accumulate))
