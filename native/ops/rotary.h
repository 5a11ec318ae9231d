// Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face checkpoints: dimension i of a head
// turns with dimension i + hd/2.
//   rotary_table: cos, sin [T, hd/2] f32 of positions[t] · inv_freq[i], times `scale` (1, or YaRN's attention factor).
//                 positions [T] i32, inv_freq [hd/2] f32. The angle is computed in double: long contexts lose nothing.
//   rotary: y1 = x1·cos - x2·sin, y2 = x2·cos + x1·sin for each of `heads` heads; `inverse` turns the other way (the
//           gradient; it is the inverse while scale is 1).
// x, y [T, heads·hd] f32 or bf16, each its own; y may be x.
#pragma once
#include "core/op.h"

MW_OP(rotary_table, (In positions, In inv_freq, Out cos, Out sin, float scale))
MW_OP(rotary, (In x, In cos, In sin, Out y, int64_t heads, bool inverse))
