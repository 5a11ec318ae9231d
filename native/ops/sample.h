// Draws one token per row of logits [B, V] (f32 or bf16) into ids [B] i32.
//   temperature 0: the largest logit, lowest index on ties. Else softmax(logits / temperature), cut to the top_k most probable
//   (0: all), then to the smallest set whose probability reaches top_p (Holtzman et al. 2020; 1: all), then drawn with the
//   uniform number of Philox at (seed, position, row). Throws on a row without a finite largest logit.
#pragma once
#include "core/op.h"

MW_OP(sample, (In logits, Out ids, double temperature, int64_t top_k, double top_p, int64_t seed, int64_t position))
