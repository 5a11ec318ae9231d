import { ShapeError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { needsGrad, record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "groupedMatmul",
  kernels: ["grouped_matmul", "grouped_matmul_weight_grad"],
  math: "y_i = alpha · x_{rows[i]} · weight_eᵀ (+ onto) for the rows i of expert e",
  inputs: {
    x: "[T, K] float",
    weight: "[E, N, K] float",
    offsets: "[E+1] i32",
    rows: "[R] i32?",
    positions: "[R] i32?",
  },
  outputs: { y: "[R, N] float" },
  tolerance: { f32: 1e-5, bf16: 1e-2 },
  source: "Gale et al. 2022 (MegaBlocks); Tan et al. 2024 (ScatterMoE)",
};

/** How rows are shared out among experts; all on the device (sortByExpert makes it). */
export interface Grouping {
  /** [E+1] i32: rows offsets[e] … offsets[e+1]-1 are expert e's. */
  offsets: Tensor;
  /** Reads x in token order: row i of y comes from row rows[i] of x. Absent: x is sorted already. */
  gather?: { rows: Tensor; positions: Tensor } | undefined;
}

export interface GroupedOptions {
  alpha?: number;
  /** Adds to this tensor, in place, and returns it. */
  onto?: Tensor | undefined;
}

/**
 * One matrix product an expert, over rows sorted by expert, in one call. With `gather`, x [T, K] is in token order and
 * each token feeds K rows; its gradient brings them back together. Throws ShapeError.
 */
export function groupedMatmul(
  x: Tensor,
  weight: Tensor,
  grouping: Grouping,
  { alpha = 1, onto }: GroupedOptions = {},
): Tensor {
  const { offsets, gather } = grouping;
  const rows = gather?.rows;
  const positions = gather?.positions;
  const { T = 0, K = 0, N = 0, R = T } = check(spec, { x, weight, offsets, rows, positions });
  if (onto !== undefined && onto.size !== R * N) {
    throw new ShapeError(
      `groupedMatmul: onto is ${onto.toString()}, [${R}, ${N}] was needed`,
      "groupedMatmul",
      [onto.toString()],
    );
  }
  const y = onto === undefined ? x.device.empty([R, N], x.dtype) : onto.view([R, N]);
  run("grouped_matmul", x, weight, offsets, rows, y, true, alpha, onto !== undefined);
  record({
    inputs: [x, weight, ...(onto ? [onto] : [])],
    outputs: [y],
    keeps: [needsGrad(weight) && x, needsGrad(x) && weight, offsets, rows, positions],
    backward: ([dy], gradients) => {
      if (onto !== undefined) gradients.give(onto, dy!);
      const dx = gradients.buffer(x);
      if (dx && positions) {
        const sorted = x.device.empty([R, K], x.dtype);
        run("grouped_matmul", dy, weight, offsets, undefined, sorted, false, alpha, false);
        run("combine_rows", sorted, undefined, positions, dx.tensor, dx.accumulate);
      } else if (dx) {
        run("grouped_matmul", dy, weight, offsets, undefined, dx.tensor, false, alpha, dx.accumulate);
      }
      const dweight = gradients.buffer(weight, "f32");
      if (dweight)
        run("grouped_matmul_weight_grad", dy, x, offsets, rows, dweight.tensor, alpha, dweight.accumulate);
    },
  });
  return y;
}
