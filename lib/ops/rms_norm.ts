import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "rmsNorm",
  kernels: ["rms_norm", "rms_norm_grad"],
  math: "y = x / sqrt(mean(x²) + eps) · weight",
  inputs: { x: "[...T, D] float", weight: "[D] float" },
  outputs: { y: "[...T, D] float" },
  tolerance: { f32: 2e-6, bf16: 1e-2 },
  source: "Zhang and Sennrich 2019, eq. 4",
};

/**
 * Root-mean-square norm over the last axis. `width` normalises pieces of that size instead, each with the same weight (the
 * heads of a query): then weight is [width].
 */
export function rmsNorm(x: Tensor, weight: Tensor, { eps, width }: { eps: number; width?: number }): Tensor {
  const { T = 0 } = scope(() =>
    check(spec, { x: width === undefined ? x : x.view([x.size / width, width]), weight }),
  );
  const y = x.device.empty(x.shape, x.dtype);
  const rstd = x.device.empty([T]);
  run("rms_norm", x, weight, y, rstd, eps);
  record({
    inputs: [x, weight],
    outputs: [y],
    keeps: [x, weight, rstd],
    backward: ([dy], gradients) => {
      const dx = gradients.buffer(x);
      const dweight = gradients.buffer(weight, "f32");
      run(
        "rms_norm_grad",
        dy,
        x,
        weight,
        rstd,
        dx?.tensor,
        dweight?.tensor,
        dx?.accumulate ?? false,
        dweight?.accumulate ?? false,
      );
    },
  });
  rstd.dispose();
  return y;
}
