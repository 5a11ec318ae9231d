import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "gatherRows",
  kernels: ["gather_rows", "scatter_rows", "scatter_add_rows"],
  math: "y[i] = x[rows[i]]",
  inputs: { x: "[V, D] float", rows: "[T] i32" },
  outputs: { y: "[T, D] float" },
  tolerance: { f32: 1e-6, bf16: 1e-2 },
};

/** Rows by index: a token embedding, or the last row of each document. An index outside of x poisons the stream. */
export function gatherRows(x: Tensor, rows: Tensor): Tensor {
  const { T = 0, D = 0 } = check(spec, { x, rows });
  const y = x.device.empty([T, D], x.dtype);
  run("gather_rows", x, rows, y);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [rows],
    backward: ([dy], gradients) => {
      const dx = gradients.buffer(x, "f32");
      if (dx) run("scatter_add_rows", dy, rows, dx.tensor, dx.accumulate);
    },
  });
  return y;
}

/** Writes x [T, D] into rows of `target` [V, D], in place: target[rows[i]] = x[i]. For caches; it carries no gradient. */
export function scatterRows(x: Tensor, rows: Tensor, target: Tensor): void {
  check(scatterSpec, { x, rows, target });
  run("scatter_rows", x, rows, target);
  target.root.version++;
}

const scatterSpec: OpSpec = {
  ...spec,
  name: "scatterRows",
  inputs: { x: "[T, D] float", rows: "[T] i32", target: "[V, D] float" },
};
