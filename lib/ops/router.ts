import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "router",
  kernels: ["router", "router_grad"],
  math: "probs = softmax(logits); the K largest, best first; weights = their probs, divided by their sum on request",
  inputs: { logits: "[T, E] f32" },
  outputs: { probs: "[T, E] f32", experts: "[T, K] i32", weights: "[T, K] f32" },
  tolerance: { f32: 2e-6, bf16: 2e-6 },
  source: "Shazeer et al. 2017; Jiang et al. 2024, §2.1",
};

export interface Routing {
  logits: Tensor;
  probs: Tensor;
  experts: Tensor;
  weights: Tensor;
}

/** Chooses K experts a token. Gradients flow through the weights; the choice itself has none. Throws ConfigError for K > E. */
export function router(
  logits: Tensor,
  { topK, renormalize }: { topK: number; renormalize: boolean },
): Routing {
  const { T = 0, E = 0 } = check(spec, { logits });
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
  run("router", logits, probs, experts, weights, renormalize);
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
