import { ShapeError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const tableSpec: OpSpec = {
  name: "rotaryTable",
  kernels: ["rotary_table"],
  math: "cos, sin of positions[t] · invFreq[i], times scale",
  inputs: { positions: "[T] i32", invFreq: "[P] f32" },
  outputs: { cos: "[T, P] f32", sin: "[T, P] f32" },
  tolerance: { f32: 1e-6, bf16: 1e-6 },
  source: "Su et al. 2021",
};

export const spec: OpSpec = {
  name: "rotary",
  kernels: ["rotary"],
  math: "y1 = x1·cos − x2·sin, y2 = x2·cos + x1·sin; x1, x2: the halves of each head",
  inputs: { x: "[T, HD] float", cos: "[T, P] f32", sin: "[T, P] f32" },
  outputs: { y: "[T, HD] float" },
  tolerance: { f32: 2e-6, bf16: 1e-2 },
  source: "Su et al. 2021, in the half-split layout of Hugging Face checkpoints",
};

export interface RotaryTable {
  cos: Tensor;
  sin: Tensor;
}

/** The angles of a batch, once for all layers. `scale` is YaRN's attention factor. */
export function rotaryTable(positions: Tensor, invFreq: Tensor, scale = 1): RotaryTable {
  const { T = 0, P = 0 } = check(tableSpec, { positions, invFreq });
  const cos = positions.device.empty([T, P]);
  const sin = positions.device.empty([T, P]);
  run("rotary_table", positions, invFreq, cos, sin, scale);
  return { cos, sin };
}

/** Turns each of the `heads` heads of x [T, heads·hd] by its position. Throws ShapeError. */
export function rotary(x: Tensor, { cos, sin }: RotaryTable, { heads }: { heads: number }): Tensor {
  const { HD = 0, P = 0 } = check(spec, { x, cos, sin });
  if (HD !== heads * 2 * P) {
    throw new ShapeError(
      `rotary: x is ${x.toString()}, ${heads} heads of ${2 * P} (${cos.toString()}) make ${heads * 2 * P} columns`,
      "rotary",
      [x.toString(), cos.toString()],
    );
  }
  const y = x.device.empty(x.shape, x.dtype);
  run("rotary", x, cos, sin, y, heads, false);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [cos, sin],
    backward: ([dy], gradients) => {
      const dx = x.device.empty(x.shape, x.dtype);
      run("rotary", dy, cos, sin, dx, heads, true);
      gradients.give(x, dx);
    },
  });
  return y;
}
