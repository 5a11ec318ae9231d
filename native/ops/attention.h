// Causal attention over documents laid end to end, with grouped key/value heads (Vaswani et al. 2017; Ainslie et al. 2023;
// online softmax and recomputation after Dao 2023). Never holds T×T.
//   y[t, h] = Σ_s softmax_s(scale · q[t, h] · k[s, h / (heads/kv_heads)]) · v[s, …]   over s of the same document, s <= t
// q, y [T, heads·hd]; k, v [S, kv_heads·hd], f32 or bf16; lse [T, heads] f32 = log Σ_s e^…
// offsets [D+1] i32: document d's queries are rows offsets[d] … offsets[d+1]-1. Its keys are rows starts[d] … starts[d] +
// lengths[d] - 1 of k and v (a cache); the queries are the last positions of these. Absent starts and lengths: keys are laid
// out as the queries. window > 0: only the latest `window` keys, the query's own included.
#pragma once
#include "core/op.h"

MW_OP(attention, (In q, In k, In v, In offsets, In starts, In lengths, Out y, Out lse, int64_t heads, int64_t kv_heads,
                  float scale, int64_t window))

// Gradients without a cache. delta [T, heads] f32 is working space (rowsum(dy · y)).
MW_OP(attention_grad, (In dy, In q, In k, In v, In y, In lse, In offsets, Out dq, Out dk, Out dv, Out delta, int64_t heads,
                       int64_t kv_heads, float scale, int64_t window))
