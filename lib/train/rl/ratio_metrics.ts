import type { Tensor } from "../../core/tensor.ts";
import { scale } from "../../ops/add.ts";
import { maximum } from "../../ops/binary.ts";
import { exp, square } from "../../ops/unary.ts";
import { isPositive, mean, shift, subtract } from "../preference/pair.ts";

/**
 * How far the policy has moved from the one that drew N tokens: the mean ratio, the share of tokens whose ratio is clipped, and
 * half the mean squared log-ratio, which is about the KL.
 */
export function ratioMetrics(
  logProbs: Tensor,
  oldLogProbs: Tensor,
  low: number,
  high: number,
): Record<string, Tensor> {
  const difference = subtract(logProbs, oldLogProbs);
  const ratio = exp(difference);
  const beyond = maximum(shift(ratio, -1 - high), shift(scale(ratio, -1), 1 - low));
  return {
    "policy/ratio": mean(ratio),
    "policy/clipFraction": mean(isPositive(beyond)),
    "policy/approxKl": scale(mean(square(difference)), 0.5),
  };
}

/** 1 − variance(returns − values) / variance(returns): 1 for a perfect value function; 0 where returns don't vary. */
export function explainedVariance(values: Float32Array, returns: Float32Array): number {
  const variance = (of: (t: number) => number): number => {
    const all = Array.from(returns, (_, t) => of(t));
    const average = all.reduce((a, b) => a + b, 0) / all.length;
    return all.reduce((sum, x) => sum + (x - average) ** 2, 0) / all.length;
  };
  const whole = variance((t) => returns[t]!);
  return whole === 0 ? 0 : 1 - variance((t) => returns[t]! - values[t]!) / whole;
}
