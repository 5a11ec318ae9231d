// T tokens, K in, N out, r rank
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import { needsGrad, record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { drawMask } from "./dropout.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "lowRankLinear",
  kernels: ["low_rank_down", "low_rank_down_grad", "low_rank_linear", "low_rank_linear_dx", "low_rank_grad"],
  math: "y = magnitude / norm ⊙ (x·weightᵀ + s·drop(x)·aᵀ·bᵀ) + bias",
  inputs: {
    x: "[...T, K] float",
    weight: "[N, K] float",
    a: "[r, K] float",
    b: "[N, r] float",
    magnitude: "[N] float?",
    norm: "[N] f32?",
    bias: "[N] float?",
  },
  outputs: { y: "[...T, N] float" },
  tolerance: { f32: 1e-5, bf16: 1e-2 },
  source: "Hu et al. 2021 (LoRA); Liu et al. 2024 (DoRA), the norm detached as in §4.3",
};

export interface LowRankOptions {
  scaling: number;
  /** Of x on its way into the low-rank product, as in `dropout`. Default: 0. */
  dropout?: number;
  /** DoRA, together with the norm of each row of weight + scaling·b·a. */
  magnitude?: Tensor | undefined;
  norm?: Tensor | undefined;
  bias?: Tensor | undefined;
}

/**
 * A dense layer with a low-rank addition, without building the adapted weight: LoRA, or DoRA with a magnitude. The addition
 * and the magnitude cost no pass of their own over y. Throws ShapeError.
 */
export function lowRankLinear(
  x: Tensor,
  weight: Tensor,
  a: Tensor,
  b: Tensor,
  { scaling, dropout = 0, magnitude, norm, bias }: LowRankOptions,
): Tensor {
  const { T = 0, N = 0, r = 0 } = check(spec, { x, weight, a, b, magnitude, norm, bias });
  const { device, dtype } = x;
  const mask = drawMask(spec.name, dropout);
  return scope(() => {
    const low = device.empty([T, r]);
    run("low_rank_down", x, a, low, ...mask);
    const y = device.empty([...x.shape.slice(0, -1), N], dtype);
    run("low_rank_linear", x, weight, low, b, magnitude, norm, bias, y, scaling);
    record({
      inputs: [x, weight, a, b, ...(magnitude ? [magnitude] : []), ...(bias ? [bias] : [])],
      outputs: [y],
      keeps: [x, weight, a, b, low, needsGrad(magnitude) && y, magnitude, norm, bias],
      backward: ([dy], gradients) => {
        const [dx, da, dweight] = [x, a, weight].map((tensor) => gradients.wants(tensor));
        const scaled = magnitude && (dx || dweight) ? device.empty(y.shape, dtype) : undefined;
        const dlow = dx || da ? device.empty([T, r]) : undefined;
        const db = gradients.buffer(b, "f32");
        const dmagnitude = gradients.buffer(magnitude, "f32");
        if (scaled || dlow || db || dmagnitude) {
          const toB = [db?.tensor, db?.accumulate ?? false];
          const toMagnitude = [dmagnitude?.tensor, dmagnitude?.accumulate ?? false];
          const products = dmagnitude ? [y, x, weight] : [undefined, undefined, undefined];
          const rest = [low, b, magnitude, norm, bias, scaled, dlow];
          run("low_rank_grad", dy, ...products, ...rest, ...toB, ...toMagnitude, scaling);
        }
        const dv = scaled ?? dy;
        const toX = gradients.buffer(x);
        if (toX) run("low_rank_linear_dx", dv, weight, dlow, a, toX.tensor, toX.accumulate, ...mask);
        const toA = gradients.buffer(a, "f32");
        if (toA) run("low_rank_down_grad", x, dlow, toA.tensor, toA.accumulate, ...mask);
        const toWeight = gradients.buffer(weight, "f32");
        if (toWeight) run("matmul", dv, x, undefined, toWeight.tensor, true, false, 1, toWeight.accumulate);
        const toBias = gradients.buffer(bias, "f32");
        if (toBias) run("column_sum", dy, toBias.tensor, toBias.accumulate);
      },
    });
    return y;
  });
}
