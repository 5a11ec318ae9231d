// N tokens
import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { maximum, multiply } from "../../ops/binary.ts";
import { sum } from "../../ops/segment_sum.ts";
import { clamp, exp, square } from "../../ops/unary.ts";
import { subtract } from "../preference/pair.ts";

export interface PpoPolicyInputs {
  /** Log-probabilities of N tokens under the policy, and under the one that drew them, [N] f32. */
  logProbs: Tensor;
  oldLogProbs: Tensor;
  /** [N] f32 */
  advantages: Tensor;
  /** The ratio counts between 1 − clip and 1 + clip. Default 0.2. */
  clip?: number;
  /** What to divide by, when these are a part of a larger batch. Default N. */
  count?: number;
}

/**
 * PPO's clipped objective as a loss (Schulman et al. 2017, eq. 7): the mean over tokens of
 * max(−A·ρ, −A·clip(ρ, 1 − ε, 1 + ε)), ρ = π/π_old. [1] f32.
 */
export function ppoPolicyLoss(inputs: PpoPolicyInputs): Tensor {
  const { logProbs, oldLogProbs, advantages, clip = 0.2, count = logProbs.size } = inputs;
  return scope(() => {
    const ratio = exp(subtract(logProbs, oldLogProbs));
    const minus = scale(advantages, -1);
    const free = multiply(minus, ratio);
    return scale(sum(maximum(free, multiply(minus, clamp(ratio, 1 - clip, 1 + clip)))), 1 / count);
  });
}

export interface PpoValueInputs {
  /** Values of N tokens now, and when the tokens were drawn, [N] f32. */
  values: Tensor;
  oldValues: Tensor;
  /** [N] f32 */
  returns: Tensor;
  /** A value counts up to this far from its old one. Default 0.2. */
  clip?: number;
  /** What to divide by, when these are a part of a larger batch. Default N. */
  count?: number;
}

/**
 * PPO's clipped value loss: the mean over tokens of ½·max((V − R)², (clip(V, V_old ± ε) − R)²). [1] f32.
 */
export function ppoValueLoss(inputs: PpoValueInputs): Tensor {
  const { values, oldValues, returns, clip = 0.2, count = values.size } = inputs;
  return scope(() => {
    const held = add(oldValues, clamp(subtract(values, oldValues), -clip, clip));
    const worst = maximum(square(subtract(values, returns)), square(subtract(held, returns)));
    return scale(sum(worst), 0.5 / count);
  });
}
