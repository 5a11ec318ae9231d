import { ConfigError } from "../../core/errors.ts";
import { scope } from "../../core/scope.ts";
import { withoutGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { multiply } from "../../ops/binary.ts";
import { segmentExpand } from "../../ops/segment_sum.ts";
import { clamp, sigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { listOf, mean, subtract } from "./pair.ts";

export interface UnpairedInputs {
  /** Summed log-probabilities of B completions under the policy, and under the reference, [B] f32. */
  policy: Tensor;
  reference: Tensor;
  /** Is the completion wanted? [B] */
  labels: ArrayLike<boolean | number>;
  /** Default 0.1. */
  beta?: number;
  /** Weight of wanted completions. Default 1. */
  desirableWeight?: number;
  /** Weight of unwanted completions. Default 1. */
  undesirableWeight?: number;
}

export interface KtoInputs extends UnpairedInputs {
  /** The KL estimate z, [1] or a number from 0, as `ktoKl` makes it. It carries no gradient. */
  kl: Tensor | number;
}

/**
 * Kahneman–Tversky optimization (Ethayarajh et al. 2024, eq. 8): the mean of w·(1 − σ(β(x − z))) over wanted completions
 * and w·(1 − σ(β(z − x))) over the others, x the log-ratio, z the KL estimate, w the weight of its kind. [1] f32. A batch of
 * one kind only is fine.
 */
export function kto(given: KtoInputs): Tensor {
  checkInputs("kto", given);
  const { kl, ...inputs } = given;
  return scope(() => {
    const B = inputs.policy.size;
    const { device } = inputs.policy;
    const z =
      typeof kl === "number"
        ? device.full([B], kl)
        : withoutGrad(() => segmentExpand(kl, device.tensor(Int32Array.of(0, B), [2]), B));
    return unpaired("kto", inputs, z);
  });
}

/**
 * Anchored preference optimization, zero, on unpaired rows (D'Oosterlinck et al. 2024): the mean of w·(1 − σ(βx)) over wanted
 * completions and w·σ(βx) over the others: `kto` with z = 0. [1] f32.
 */
export function apoZeroUnpaired(inputs: UnpairedInputs): Tensor {
  checkInputs("apoZeroUnpaired", inputs);
  return scope(() => unpaired("apoZeroUnpaired", inputs, undefined));
}

/**
 * KTO's z: the mean log-ratio of completions under prompts that are not theirs, at least 0; [M] each → [1] f32. No gradient.
 */
export function ktoKl(inputs: { policy: Tensor; reference: Tensor }): Tensor {
  checkInputs("ktoKl", inputs);
  const { policy, reference } = inputs;
  return withoutGrad(() =>
    scope(() => clamp(mean(subtract(policy, reference)), 0, Number.POSITIVE_INFINITY)),
  );
}

function unpaired(name: string, inputs: UnpairedInputs, z: Tensor | undefined): Tensor {
  const { policy, reference, labels, beta = 0.1, desirableWeight = 1, undesirableWeight = 1 } = inputs;
  if (labels.length !== policy.size) {
    throw new ConfigError(
      `${name}: ${labels.length} labels for ${policy.size} completions, one for each was needed`,
      "labels",
    );
  }
  const ratio = subtract(policy, reference);
  const towards = Float32Array.from(labels, (label) => (label ? -beta : beta));
  const weights = Float32Array.from(labels, (label) => (label ? desirableWeight : undesirableWeight));
  const losses = sigmoid(multiply(z ? subtract(ratio, z) : ratio, listOf(policy, towards)));
  return mean(multiply(losses, listOf(policy, weights)));
}
