import { run } from "../core/run.ts";
import { needsGrad, record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const normSpec: OpSpec = {
  name: "doraNorm",
  kernels: ["dora_norm", "row_sum_squares"],
  math: "norm[e, n] = ‖W_e + s·B_e·A_e‖ of row n = √(‖W‖² + 2s·Σ(W·Aᵀ)⊙B + s²·Σ(B·(A·Aᵀ))⊙B)",
  inputs: {
    weight: "[E, N, K] float",
    a: "[E, r, K] float",
    b: "[E, N, r] float",
    weightSquare: "[E, N] f32",
  },
  outputs: { norm: "[E, N] f32" },
  tolerance: { f32: 1e-5, bf16: 1e-2 },
  source: "Liu et al. 2024 (DoRA), §4.3; factored form of arXiv 2603.22276",
};

export const spec: OpSpec = {
  name: "doraCompose",
  kernels: ["dora_compose", "dora_compose_grad"],
  math: "y[i, n] = magnitude[e, n] / norm[e, n] · v[i, n] + bias[n]",
  inputs: {
    v: "[R, N] float",
    magnitude: "[E, N] float",
    norm: "[E, N] f32",
    bias: "[N] float?",
    offsets: "[E+1] i32?",
  },
  outputs: { y: "[R, N] float" },
  tolerance: { f32: 2e-6, bf16: 1e-2 },
  source: "Liu et al. 2024 (DoRA), eq. 5, the norm detached as in §4.3",
};

/** Row norms of the adapted weights, all experts in one call, without building them. It carries no gradient. */
export function doraNorm(
  weight: Tensor,
  weightSquare: Tensor,
  a: Tensor,
  b: Tensor,
  scaling: number,
): Tensor {
  const { E = 0, N = 0 } = check(normSpec, { weight, a, b, weightSquare });
  const norm = weight.device.empty([E, N]);
  run("dora_norm", weight, weightSquare, a, b, norm, scaling);
  return norm;
}

/** ‖row‖² of a weight [E, N, K] → [E, N] f32: what a frozen base needs once. */
export function rowSumSquares(weight: Tensor): Tensor {
  const y = weight.device.empty(weight.shape.slice(0, -1));
  run("row_sum_squares", weight, y);
  return y;
}

/** Gives the direction v = x·(W + s·B·A)ᵀ its magnitude. Rows are sorted by expert; without offsets there is one. */
export function doraCompose(
  v: Tensor,
  magnitude: Tensor,
  norm: Tensor,
  { bias, offsets }: { bias?: Tensor | undefined; offsets?: Tensor | undefined } = {},
): Tensor {
  check(spec, { v, magnitude, norm, bias, offsets });
  const y = v.device.empty(v.shape, v.dtype);
  run("dora_compose", v, magnitude, norm, bias, offsets, y);
  record({
    inputs: [v, magnitude, ...(bias ? [bias] : [])],
    outputs: [y],
    keeps: [needsGrad(magnitude) && v, magnitude, norm, offsets],
    backward: ([dy], gradients) => {
      const dv = v.device.empty(v.shape, v.dtype);
      const dmagnitude = gradients.buffer(magnitude, "f32");
      run(
        "dora_compose_grad",
        dy,
        dmagnitude && v,
        magnitude,
        norm,
        offsets,
        dv,
        dmagnitude?.tensor,
        dmagnitude?.accumulate ?? false,
      );
      gradients.give(v, dv);
      const dbias = gradients.buffer(bias, "f32");
      if (dbias) run("column_sum", dy, dbias.tensor, dbias.accumulate);
    },
  });
  return y;
}
