import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "attention",
  kernels: ["attention", "attention_grad"],
  math: "y[t, h] = Σ_s softmax_s(scale · q[t, h]·k[s, h/group]) · v[s, h/group] over s ≤ t of the same document",
  inputs: {
    q: "[T, HD] float",
    k: "[S, GD] float",
    v: "[S, GD] float",
    offsets: "[B+1] i32",
    starts: "[B] i32?",
    lengths: "[B] i32?",
  },
  outputs: { y: "[T, HD] float" },
  tolerance: { f32: 5e-6, bf16: 2e-2 },
  source:
    "Vaswani et al. 2017; Ainslie et al. 2023 (grouped heads); Dao 2023 (online softmax, recomputation)",
};

export interface AttentionOptions {
  heads: number;
  kvHeads: number;
  /** Default 1/√(head width). */
  scale?: number;
  /** Only the latest `window` keys, the query's own included. 0: all. */
  window?: number;
  /** Keys in a cache: document b's lie in rows starts[b] … starts[b] + lengths[b] - 1. Carries no gradient. */
  cache?: { starts: Tensor; lengths: Tensor } | undefined;
}

/**
 * Causal attention over documents laid end to end: document b's queries are rows offsets[b] … offsets[b+1]-1. Memory grows
 * with T, never T². Throws ShapeError, and ConfigError for heads that don't divide.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  offsets: Tensor,
  options: AttentionOptions,
): Tensor {
  const { heads, kvHeads, window = 0, cache } = options;
  const {
    T = 0,
    HD = 0,
    GD = 0,
  } = check(spec, { q, k, v, offsets, starts: cache?.starts, lengths: cache?.lengths });
  const width = HD / heads;
  if (!Number.isInteger(width) || width * kvHeads !== GD || heads % kvHeads !== 0) {
    throw new ConfigError(
      `attention: q is ${HD} wide for ${heads} heads, k is ${GD} wide for ${kvHeads}; equal head widths and heads that` +
        " kvHeads divides were needed",
      "heads",
    );
  }
  const scale = options.scale ?? 1 / Math.sqrt(width);
  const y = q.device.empty(q.shape, q.dtype);
  const lse = q.device.empty([T, heads]);
  run("attention", q, k, v, offsets, cache?.starts, cache?.lengths, y, lse, heads, kvHeads, scale, window);
  record({
    inputs: cache === undefined ? [q, k, v] : [],
    outputs: [y],
    keeps: [q, k, v, y, lse, offsets],
    backward: ([dy], gradients) => {
      const dq = q.device.empty(q.shape, q.dtype);
      const dk = k.device.empty(k.shape, k.dtype);
      const dv = v.device.empty(v.shape, v.dtype);
      const delta = q.device.empty([T, heads]);
      run("attention_grad", dy, q, k, v, y, lse, offsets, dq, dk, dv, delta, heads, kvHeads, scale, window);
      gradients.give(q, dq);
      gradients.give(k, dk);
      gradients.give(v, dv);
    },
  });
  lse.dispose();
  return y;
}
