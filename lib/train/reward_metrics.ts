import type { Tensor } from "../core/tensor.ts";
import { isPositive, mean, subtract } from "./preference/pair.ts";

/** Of P pairs, [P] each. */
interface Both {
  chosen: Tensor;
  rejected: Tensor;
}

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
    "rewards/accuracies": mean(isPositive(margin)),
    ...(logProbs && { "logps/chosen": mean(logProbs.chosen), "logps/rejected": mean(logProbs.rejected) }),
  };
}
