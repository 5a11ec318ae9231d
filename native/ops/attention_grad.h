// Gradients of attention without a cache (offsets alone), from its y and lse; P is recomputed, never stored (Dao 2023):
//   P = e^(scale·q·k - lse),  dv = Σ_t P·dy,  dS = P · (dy·v - delta),  dq = scale · Σ_s dS·k,  dk = scale · Σ_t dS·q
// delta [T, heads] f32 is working space (rowsum(dy · y)). Shapes and formats as in attention.h. Absent dq is not computed;
// nor are dk and dv, which come together. Sums are f32, in an order that the offsets alone decide.
#pragma once
#include "core/op.h"

MW_OP(attention_grad, (In dy, In q, In k, In v, In y, In lse, In offsets, Out dq, Out dk, Out dv, Out delta, int64_t heads,
                       int64_t kv_heads, float scale, int64_t window))
