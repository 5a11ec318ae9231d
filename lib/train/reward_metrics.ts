import type { Tensor } from "../core/tensor.ts";
import { scale } from "../ops/add.ts";
import { clamp } from "../ops/unary.ts";
import { mean, subtract } from "./preference/pair.ts";

/** Of P pairs, [P] each. */
interface Both {
  chosen: Tensor;
  rejected: Tensor;
}

/** Any difference above 1e-30, times this, is at least 1. */
const kSteep = 1e30;

/**
 * What is reported of a batch of pairs, under TRL's names: mean rewards of both kinds, how much higher the chosen ones are, and
 * in how many pairs they are; with `logProbs`, those of both kinds.
 */
export function rewardMetrics(rewards: Both, logProbs?: Both): Record<string, Tensor> {
  const margin = subtract(rewards.chosen, rewards.rejected);
  return {
    "rewards/chosen": mean(rewards.chosen),
    "rewards/rejected": mean(rewards.rejected),
    "rewards/margins": mean(margin),
    "rewards/accuracies": mean(clamp(scale(margin, kSteep), 0, 1)),
    ...(logProbs && { "logps/chosen": mean(logProbs.chosen), "logps/rejected": mean(logProbs.rejected) }),
  };
}
