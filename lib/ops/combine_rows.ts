import { run } from "../core/run.ts";
import { needsGrad, record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "combineRows",
  kernels: ["combine_rows", "combine_rows_grad"],
  math: "out[t] = Σ_k weights[t, k] · y[positions[t·K + k]]",
  inputs: { y: "[N, D] float", weights: "[T, K] f32", positions: "[N] i32" },
  outputs: { out: "[T, D] float" },
  tolerance: { f32: 2e-6, bf16: 1e-2 },
  source: "Shazeer et al. 2017, eq. 1",
};

/** Brings the rows of the experts back to token order, weighted, without atomics. */
export function combineRows(y: Tensor, weights: Tensor, positions: Tensor): Tensor {
  const { T = 0, D = 0 } = check(spec, { y, weights, positions });
  const out = y.device.empty([T, D], y.dtype);
  run("combine_rows", y, weights, positions, out, false);
  record({
    inputs: [y, weights],
    outputs: [out],
    keeps: [needsGrad(weights) && y, weights, positions],
    backward: ([dout], gradients) => {
      const dy = y.device.empty(y.shape, y.dtype);
      const dweights = gradients.wants(weights) ? weights.device.empty(weights.shape) : undefined;
      run("combine_rows_grad", dout, dweights && y, weights, positions, dy, dweights);
      gradients.give(y, dy);
      if (dweights) gradients.give(weights, dweights);
    },
  });
  return out;
}
