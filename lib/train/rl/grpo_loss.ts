// N tokens of B completions laid end to end
import { ConfigError } from "../../core/errors.ts";
import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { minimum, multiply } from "../../ops/binary.ts";
import { segmentExpand, segmentSum, sum } from "../../ops/segment_sum.ts";
import { clamp, exp } from "../../ops/unary.ts";
import { listOf, subtract } from "../preference/pair.ts";
import { klEstimate } from "./kl.ts";

/**
 * How tokens are averaged: "grpo" over each completion, then over completions (Shao et al. 2024); "dapo" over all tokens (Yu et
 * al. 2025); "dr_grpo" their sum over B · maxLength (Liu et al. 2025); "gspo" as "grpo", with one ratio for a completion, the
 * geometric mean of its tokens' (Zheng et al. 2025).
 */
export type GrpoLossType = "grpo" | "dapo" | "dr_grpo" | "gspo";

export interface GrpoInputs {
  /** Log-probabilities of N tokens under the policy, and under the one that drew them, [N] f32. */
  logProbs: Tensor;
  oldLogProbs: Tensor;
  /** Under the reference; needed for a beta other than 0. */
  refLogProbs?: Tensor;
  /** Of each completion, [B] f32. */
  advantages: Tensor;
  /** [B+1]: where each completion begins, and N. */
  offsets: Int32Array;
  /** Default "dapo". */
  lossType?: GrpoLossType;
  /** The ratio counts between 1 − epsilonLow and 1 + epsilonHigh. Default 0.2; epsilonHigh: as epsilonLow. */
  epsilonLow?: number;
  epsilonHigh?: number;
  /** Weight of the KL to the reference, by k3. Default 0. */
  beta?: number;
  /** Most tokens of a completion, for "dr_grpo". */
  maxLength?: number;
  /** Completions or, for "dapo", tokens to divide by, when these are a part of a larger batch. Default: of these. */
  count?: number;
}

/**
 * The loss of group relative policy optimization: averaged over tokens, −min(ρ·A, clip(ρ, 1 − ε_low, 1 + ε_high)·A) + β·k3,
 * ρ = π/π_old. [1] f32. Completions without tokens count as 0. Throws ConfigError for a beta without refLogProbs, and for
 * "dr_grpo" without maxLength.
 */
export function grpoLoss(inputs: GrpoInputs): Tensor {
  const { logProbs, oldLogProbs, refLogProbs, lossType = "dapo", epsilonLow = 0.2, beta = 0 } = inputs;
  const { epsilonHigh = epsilonLow, offsets } = inputs;
  const B = offsets.length - 1;
  const N = logProbs.size;
  const divisor = divisorOf(inputs, lossType, B, N);
  return scope(() => {
    const places = logProbs.device.tensor(offsets, [B + 1]);
    const perLength = listOf(
      logProbs,
      Float32Array.from({ length: B }, (_, b) => 1 / Math.max(offsets[b + 1]! - offsets[b]!, 1)),
    );
    const spread = (x: Tensor): Tensor => segmentExpand(x, places, N);
    const difference = subtract(logProbs, oldLogProbs);
    const log =
      lossType === "gspo" ? spread(multiply(segmentSum(difference, places), perLength)) : difference;
    const ratio = exp(log);
    const A = spread(inputs.advantages);
    const least = minimum(multiply(ratio, A), multiply(clamp(ratio, 1 - epsilonLow, 1 + epsilonHigh), A));
    const gain = scale(least, -1);
    const token =
      beta === 0
        ? gain
        : add(gain, klEstimate({ policy: logProbs, reference: refLogProbs!, estimator: "k3" }), { beta });
    const averaged = lossType === "grpo" || lossType === "gspo";
    return scale(sum(averaged ? multiply(token, spread(perLength)) : token), 1 / divisor);
  });
}

function divisorOf(
  { beta = 0, refLogProbs, maxLength, count }: GrpoInputs,
  lossType: GrpoLossType,
  B: number,
  N: number,
): number {
  if (beta !== 0 && refLogProbs === undefined)
    throw new ConfigError(`grpoLoss: beta is ${beta}, refLogProbs were needed with it`, "refLogProbs");
  switch (lossType) {
    case "grpo":
    case "gspo":
      return count ?? B;
    case "dapo":
      return count ?? Math.max(N, 1);
    case "dr_grpo":
      if (maxLength === undefined)
        throw new ConfigError("grpoLoss: lossType is dr_grpo, maxLength was needed with it", "maxLength");
      return (count ?? B) * maxLength;
    default:
      throw new ConfigError(
        `grpoLoss: lossType is "${lossType}", grpo, dapo, dr_grpo or gspo was needed`,
        "lossType",
      );
  }
}
