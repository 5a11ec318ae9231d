// Draws one token per row of logits [B, V] (f32 or bf16) into ids [B] i32.
//   temperature 0: the largest logit, lowest index on ties. Else weights e^((logit - largest) / temperature), in double,
//   cut in two steps, each to the front of the order "larger logit first, then lower index":
//     top_k: the first top_k tokens (0: all);
//     top_p: of these, the fewest whose weights add up to at least top_p of their sum (Holtzman et al. 2020; 1: all).
//   The draw is the first token, in index order, where the running sum of the kept weights exceeds u times their sum;
//   u in [0, 1) has 53 bits, from the first two words w of Philox at (seed, stream = position, counter = row):
//   ((w0 >> 5) · 2^26 + (w1 >> 6)) / 2^53.
// Throws on a row with NaN or without a finite largest logit; -inf bars a token.
#pragma once
#include "core/op.h"

MW_OP(sample, (In logits, Out ids, double temperature, int64_t top_k, double top_p, int64_t seed, int64_t position))
