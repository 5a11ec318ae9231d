import type { DType } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { needsGrad, record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "linear",
  kernels: ["matmul", "column_sum"],
  math: "y = alpha · x · weightᵀ + bias (+ onto)",
  inputs: { x: "[...T, K] float", weight: "[N, K] float", bias: "[N] float?" },
  outputs: { y: "[...T, N] float" },
  tolerance: { f32: 1e-5, bf16: 1e-2 },
};

export interface LinearOptions {
  bias?: Tensor | undefined;
  alpha?: number;
  /** Adds to this tensor, in place, and returns it. */
  onto?: Tensor | undefined;
  /** Format of y. Default: x's. */
  dtype?: DType;
}

/** A dense layer, x [T, K] · weightᵀ [K, N] → [T, N]. Throws ShapeError. */
export function linear(
  x: Tensor,
  weight: Tensor,
  { bias, alpha = 1, onto, dtype = x.dtype }: LinearOptions = {},
): Tensor {
  const { T = 0, N = 0 } = check(spec, { x, weight, bias });
  const shape = [...x.shape.slice(0, -1), N];
  if (onto !== undefined && (onto.size !== T * N || onto.shape.at(-1) !== N)) {
    throw new ShapeError(`linear: onto is ${onto.toString()}, [${shape.join(", ")}] was needed`, "linear", [
      onto.toString(),
    ]);
  }
  const y = onto === undefined ? x.device.empty(shape, dtype) : onto.view(shape);
  run("matmul", x, weight, bias, y, false, true, alpha, onto !== undefined);
  record({
    inputs: [x, weight, ...(bias ? [bias] : []), ...(onto ? [onto] : [])],
    outputs: [y],
    keeps: [needsGrad(weight) && x, needsGrad(x) && weight],
    backward: ([dy], gradients) => {
      if (onto !== undefined) gradients.give(onto, dy!);
      const dx = gradients.buffer(x);
      if (dx) run("matmul", dy, weight, undefined, dx.tensor, false, false, alpha, dx.accumulate);
      const dweight = gradients.buffer(weight, "f32");
      if (dweight) run("matmul", dy, x, undefined, dweight.tensor, true, false, alpha, dweight.accumulate);
      const dbias = gradients.buffer(bias, "f32");
      if (dbias) run("column_sum", dy, dbias.tensor, dbias.accumulate);
    },
  });
  return y;
}
