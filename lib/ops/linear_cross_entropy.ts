import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import { needsGrad, record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { scale as scaled } from "./add.ts";
import { sum } from "./segment_sum.ts";
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
  return logProbOf(x, weight, targets, T);
}

export const entropySpec: OpSpec = {
  ...spec,
  name: "tokenLogProbAndEntropy",
  math: "logprob as in tokenLogProb; entropy[t] = −Σ_v p_v · log p_v, p = softmax_v(x_t · weight_v); 0 for target −100",
  outputs: { logprob: "[T] f32", entropy: "[T] f32" },
};

/**
 * tokenLogProb, and from the same pass the entropy of each row's whole distribution over the vocabulary, in nats, [T] f32; 0
 * where the target is −100. The log-probability has its gradient, the entropy has none: it is for metrics.
 */
export function tokenLogProbAndEntropy(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
): { logProb: Tensor; entropy: Tensor } {
  const { T = 0 } = check(entropySpec, { x, weight, targets });
  const entropy = x.device.empty([T]);
  return { logProb: logProbOf(x, weight, targets, T, entropy), entropy };
}

function logProbOf(x: Tensor, weight: Tensor, targets: Tensor, T: number, entropy?: Tensor): Tensor {
  const logprob = x.device.empty([T]);
  run("linear_cross_entropy", x, weight, targets, logprob, entropy);
  record({
    inputs: [x, weight],
    outputs: [logprob],
    keeps: [x, weight, targets],
    backward: ([dlogprob], gradients) => {
      const dx = gradients.buffer(x);
      const dweight = gradients.buffer(weight, "f32");
      run(
        "linear_cross_entropy_grad",
        dlogprob,
        x,
        weight,
        targets,
        dx?.tensor,
        dweight?.tensor,
        dx?.accumulate ?? false,
        dweight?.accumulate ?? false,
      );
    },
  });
  return logprob;
}

export const lossSpec: OpSpec = {
  name: "linearCrossEntropy",
  kernels: ["linear_cross_entropy_loss"],
  math: "loss = −scale · Σ_t logprob[t], as in tokenLogProb",
  inputs: { ...spec.inputs },
  outputs: { loss: "[1] f32" },
  tolerance: { f32: 5e-6, bf16: 5e-3 },
  source: "Gradients in the forward pass: Hsu et al. 2024, Liger Kernel",
};

export const lossAndLogProbSpec: OpSpec = {
  ...lossSpec,
  name: "linearCrossEntropyAndLogProb",
  math: "loss and logprob as in linearCrossEntropy and tokenLogProb",
  outputs: { loss: "[1] f32", logprob: "[T] f32" },
};

/**
 * −scale · the sum of the targets' log-probabilities, [1] f32: with scale 1 / targets the mean cross-entropy. Where a gradient
 * has to come of it, the forward pass makes it along with the loss, which saves a quarter of the work of tokenLogProb.
 */
export function linearCrossEntropy(x: Tensor, weight: Tensor, targets: Tensor, { scale = 1 } = {}): Tensor {
  check(lossSpec, { x, weight, targets });
  if (needsGrad(x) || needsGrad(weight)) return lossOf(x, weight, targets, scale);
  return scope(() => scaled(sum(tokenLogProb(x, weight, targets)), -scale));
}

/**
 * linearCrossEntropy, and from the same pass each row's log-probability, [T] f32, 0 where the target is −100. The loss has its
 * gradient, the log-probabilities have none: they are for metrics.
 */
export function linearCrossEntropyAndLogProb(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  { scale = 1 } = {},
): { loss: Tensor; logProb: Tensor } {
  const { T = 0 } = check(lossAndLogProbSpec, { x, weight, targets });
  if (needsGrad(x) || needsGrad(weight)) {
    const logProb = x.device.empty([T]);
    return { loss: lossOf(x, weight, targets, scale, logProb), logProb };
  }
  const logProb = tokenLogProb(x, weight, targets);
  return { loss: scope(() => scaled(sum(logProb), -scale)), logProb };
}

function lossOf(x: Tensor, weight: Tensor, targets: Tensor, scale: number, logProb?: Tensor): Tensor {
  const { device } = x;
  const loss = device.empty([1]);
  const dx = needsGrad(x) ? device.empty(x.shape, x.dtype) : undefined;
  const dweight = needsGrad(weight) ? device.empty(weight.shape) : undefined;
  run("linear_cross_entropy_loss", x, weight, targets, loss, logProb, dx, dweight, scale);
  record({
    inputs: [x, weight],
    outputs: [loss],
    keeps: [dx, dweight],
    backward: ([dloss], gradients) => {
      for (const [of, gradient] of [
        [x, dx],
        [weight, dweight],
      ] as const) {
        if (gradient === undefined) continue;
        if (!gradients.isOne(dloss!)) {
          const row = gradient.view([1, gradient.size]);
          run("scale_rows", row, dloss, undefined, row);
        }
        gradients.handOver(of, gradient);
      }
    },
  });
  dx?.dispose();
  dweight?.dispose();
  return loss;
}
