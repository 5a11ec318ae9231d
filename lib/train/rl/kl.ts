// N tokens of B completions laid end to end
import { ConfigError } from "../../core/errors.ts";
import { scope } from "../../core/scope.ts";
import { withoutGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, copyInto, scale } from "../../ops/add.ts";
import { multiply } from "../../ops/binary.ts";
import { offsetsOn } from "../../ops/gae.ts";
import { segmentExpand } from "../../ops/segment_sum.ts";
import { clamp, exp, square } from "../../ops/unary.ts";
import { listOf, shift, subtract } from "../preference/pair.ts";
import { whiten } from "./whiten.ts";

/** How a token's share of KL(policy ‖ reference) is estimated from its two log-probabilities (Schulman 2020). */
export type KlEstimator = "k1" | "k2" | "k3";

export interface KlInputs {
  /** Log-probabilities of tokens under the policy, and under the reference, [N] f32. */
  policy: Tensor;
  reference: Tensor;
  /** Default "k1". */
  estimator?: KlEstimator;
}

/**
 * Estimates of KL(policy ‖ reference) from tokens that the policy drew, [N] f32: k1 = log π − log π_ref, unbiased; k2 = ½·k1²,
 * biased and never below 0; k3 = e^−k1 − 1 + k1, unbiased and never below 0. Differentiable.
 */
export function klEstimate({ policy, reference, estimator = "k1" }: KlInputs): Tensor {
  return scope(() => {
    const k1 = subtract(policy, reference);
    if (estimator === "k1") return k1;
    if (estimator === "k2") return scale(square(k1), 0.5);
    if (estimator === "k3") return shift(add(exp(scale(k1, -1)), k1), -1);
    throw new ConfigError(`klEstimate: estimator is "${estimator}", k1, k2 or k3 was needed`, "estimator");
  });
}

export interface KlRewardInputs extends KlInputs {
  /** The score of each completion, [B] f32. */
  scores: Tensor;
  /** [B+1]: where each completion begins, and N. */
  offsets: Tensor | Int32Array;
  /** Weight of the KL. Default 0.05. */
  klCoef?: number;
  /** Divides the rewards by their standard deviation; the mean stays. Default false. */
  whiten?: boolean;
}

/**
 * What PPO takes each token to have earned, [N] f32: −klCoef times its KL, and at a completion's last token its score (Ziegler et
 * al. 2019, eq. 2). No gradient. A completion without tokens earns nothing.
 */
export function klRewards(inputs: KlRewardInputs): Tensor {
  const { scores, klCoef = 0.05, whiten: whitens = false } = inputs;
  return withoutGrad(() =>
    scope(() => {
      const kl = klEstimate(inputs);
      const N = kl.size;
      const offsets = offsetsOn(kl, inputs.offsets);
      const earned = multiply(segmentExpand(scores, offsets, N), lastTokens(offsets, scores.size, N));
      const rewards = add(earned, kl, { beta: -klCoef });
      return whitens ? whiten(rewards, { shiftMean: false }) : rewards;
    }),
  );
}

/** 1 at the last token of each completion, 0 elsewhere, [N] f32. */
function lastTokens(offsets: Tensor, B: number, N: number): Tensor {
  const last = offsets.device.full([N], 1);
  if (N < 2) return last;
  const owner = segmentExpand(
    listOf(
      offsets,
      Float32Array.from({ length: B }, (_, b) => b),
    ),
    offsets,
    N,
  );
  copyInto(clamp(subtract(owner.view([N - 1], 1), owner.view([N - 1])), 0, 1), last.view([N - 1]));
  return last;
}
