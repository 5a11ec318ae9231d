// Causal attention over documents laid end to end, with grouped key/value heads (Vaswani et al. 2017; Ainslie et al. 2023;
// online softmax and recomputation after Dao 2023). Never holds T×T.
//   y[t, h] = Σ_s softmax_s(scale · q[t, h] · k[s, h / (heads/kv_heads)]) · v[s, …]   over s of the same document, s <= t
// q, y [T, heads·hd]; k, v [S, kv_heads·hd]; each f32 or bf16 (a bf16 cache serves f32 queries); sums are f32.
// lse [T, heads] f32 = log Σ_s e^(scale·q·k); it may be absent.
// offsets [D+1] i32: document d's queries are rows offsets[d] … offsets[d+1]-1; they cover T exactly. Its keys are rows
// starts[d] … starts[d] + lengths[d] - 1 of k and v (a cache); the queries are the last positions of these. Absent starts
// and lengths: keys are laid out as the queries, S = T. window > 0: only the latest `window` keys, the query's own included.
// A document may be empty. Throws where offsets, starts or lengths do not fit T and S.
#pragma once
#include "core/op.h"

MW_OP(attention, (In q, In k, In v, In offsets, In starts, In lengths, Out y, Out lse, int64_t heads, int64_t kv_heads,
                  float scale, int64_t window))
