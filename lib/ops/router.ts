import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "router",
  kernels: ["router", "router_grad"],
  math: "probs = softmax(logits); the K largest of probs (+ bias), best first; weights = their probs, divided by their sum on request",
  inputs: { logits: "[T, E] f32", bias: "[E] f32?" },
  outputs: { probs: "[T, E] f32", experts: "[T, K] i32", weights: "[T, K] f32" },
  tolerance: { f32: 2e-6, bf16: 2e-6 },
  source: "Shazeer et al. 2017; Jiang et al. 2024, §2.1; bias: Wang et al. 2024 (arXiv 2408.15664)",
};

export const biasSpec: OpSpec = {
  name: "followLoad",
  kernels: ["router_bias"],
  math: "bias_e += rate · sign(mean count − count_e), in place; count_e: how often `experts` chose e",
  inputs: { experts: "[T, K] i32", bias: "[E] f32" },
  outputs: {},
  tolerance: { f32: 0, bf16: 0 },
  source: "DeepSeek-AI 2024 (DeepSeek-V3), §2.1.2",
};

export interface Routing {
  logits: Tensor;
  probs: Tensor;
  experts: Tensor;
  weights: Tensor;
}

/**
 * Chooses K experts a token. `bias` counts in the choice only, not in the weights. Gradients flow through the weights; the
 * choice itself has none, nor has the bias. Throws ConfigError for K > E.
 */
export function router(
  logits: Tensor,
  { topK, renormalize, bias }: { topK: number; renormalize: boolean; bias?: Tensor | undefined },
): Routing {
  const { T = 0, E = 0 } = check(spec, { logits, bias });
  if (!Number.isInteger(topK) || topK < 1 || topK > E) {
    throw new ConfigError(
      `router: topK is ${topK}, a whole number from 1 to ${E} experts was needed`,
      "topK",
    );
  }
  const { device } = logits;
  const probs = device.empty([T, E]);
  const experts = device.empty([T, topK], "i32");
  const weights = device.empty([T, topK]);
  run("router", logits, bias, probs, experts, weights, renormalize);
  record({
    inputs: [logits],
    outputs: [weights],
    keeps: [probs, experts],
    backward: ([dweights], gradients) => {
      const dlogits = gradients.buffer(logits);
      if (dlogits)
        run("router_grad", dweights, probs, experts, dlogits.tensor, renormalize, dlogits.accumulate);
    },
  });
  return { logits, probs, experts, weights };
}

/**
 * Moves the bias of one router by ± `rate` towards an even load: up for experts that were chosen less often than the mean in
 * all of `experts` together, down for those chosen more often. Throws ShapeError, DTypeError.
 */
export function followLoad(bias: Tensor, experts: readonly Tensor[], rate: number): void {
  for (const chosen of experts) check(biasSpec, { experts: chosen, bias });
  run("router_bias", experts, bias, rate);
  bias.root.version++;
}
