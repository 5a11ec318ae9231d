// Stable counting sort of the T·K routed slots (slot = t·K + k) by expert.
//   offsets [E+1] i32: where each expert's rows begin;  slots [N] i32: sorted position → slot
//   tokens [N] i32: sorted position → token (slot / K);  positions [N] i32: slot → sorted position
// experts [T, K] i32. Throws on an expert outside [0, E).
#pragma once
#include "core/op.h"

MW_OP(sort_by_expert, (In experts, Out offsets, Out slots, Out tokens, Out positions))
