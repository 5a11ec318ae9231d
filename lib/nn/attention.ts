// T tokens, D hidden, H heads, G key/value heads, hd head width
import type { Tensor } from "../core/tensor.ts";
import { attention } from "../ops/attention.ts";
import { scatterRows } from "../ops/gather_rows.ts";
import { rotary } from "../ops/rotary.ts";
import type { Context } from "./context.ts";
import type { Linear } from "./linear.ts";
import type { RmsNorm } from "./rms_norm.ts";

export interface AttentionParts {
  q: Linear;
  k: Linear;
  v: Linear;
  o: Linear;
  /** Norms of queries and keys before rotation: over each head (Qwen3) or the whole width (OLMoE). */
  qNorm?: RmsNorm | undefined;
  kNorm?: RmsNorm | undefined;
  heads: number;
  kvHeads: number;
  /** Keys a query sees, its own included; 0: all. */
  window: number;
}

/** Causal self-attention with grouped key/value heads and rotary positions. */
export class SelfAttention {
  constructor(
    readonly parts: AttentionParts,
    private readonly layer: number,
  ) {}

  forward(x_TD: Tensor, { offsets, rotary: table, cache }: Context): Tensor {
    const { q, k, v, o, qNorm, kNorm, heads, kvHeads, window } = this.parts;
    const q_TH = normed(q.forward(x_TD), qNorm);
    const k_TG = normed(k.forward(x_TD), kNorm);
    const v_TG = v.forward(x_TD);
    const turnedQ = rotary(q_TH, table, { heads });
    const turnedK = rotary(k_TG, table, { heads: kvHeads });
    const options = { heads, kvHeads, window };
    if (cache === undefined) return o.forward(attention(turnedQ, turnedK, v_TG, offsets, options));
    const kept = cache.layers[this.layer]!;
    scatterRows(turnedK, cache.rows, kept.k);
    scatterRows(v_TG, cache.rows, kept.v);
    return o.forward(attention(turnedQ, kept.k, kept.v, offsets, { ...options, cache }));
  }
}

const normed = (x: Tensor, norm: RmsNorm | undefined): Tensor => (norm ? norm.forward(x) : x);
