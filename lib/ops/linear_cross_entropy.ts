import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "tokenLogProb",
  kernels: ["linear_cross_entropy", "linear_cross_entropy_grad"],
  math: "logprob[t] = x_t · weight_target − log Σ_v e^(x_t · weight_v); 0 for target −100",
  inputs: { x: "[T, D] float", weight: "[V, D] float", targets: "[T] i32" },
  outputs: { logprob: "[T] f32" },
  tolerance: { f32: 5e-6, bf16: 5e-3 },
};

/**
 * Log-probability of each row's target, [T] f32, without the T×V logits. A target of −100 gives 0 and no gradient; one
 * outside of the vocabulary poisons the stream.
 */
export function tokenLogProb(x: Tensor, weight: Tensor, targets: Tensor): Tensor {
  const { T = 0 } = check(spec, { x, weight, targets });
  const { device } = x;
  const logprob = device.empty([T]);
  const lse = device.empty([T]);
  run("linear_cross_entropy", x, weight, targets, logprob, lse);
  record({
    inputs: [x, weight],
    outputs: [logprob],
    keeps: [x, weight, targets, lse],
    backward: ([dlogprob], gradients) => {
      const dx = gradients.buffer(x);
      const dweight = gradients.buffer(weight, "f32");
      run(
        "linear_cross_entropy_grad",
        dlogprob,
        x,
        weight,
        targets,
        lse,
        dx?.tensor,
        dweight?.tensor,
        dx?.accumulate ?? false,
        dweight?.accumulate ?? false,
      );
    },
  });
  lse.dispose();
  return logprob;
}
