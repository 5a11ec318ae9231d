import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "segmentSum",
  kernels: ["segment_sum", "segment_sum_grad"],
  math: "y[d] = Σ of x[offsets[d]] … x[offsets[d+1] − 1]",
  inputs: { x: "[T] f32", offsets: "[D+1] i32" },
  outputs: { y: "[D] f32" },
  tolerance: { f32: 2e-6, bf16: 2e-6 },
};

/** Sums over documents laid end to end, in double. */
export function segmentSum(x: Tensor, offsets: Tensor): Tensor {
  const { D = 0 } = check(spec, { x, offsets });
  const y = x.device.empty([D]);
  run("segment_sum", x, offsets, y);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [offsets],
    backward: ([dy], gradients) => {
      const dx = gradients.buffer(x);
      if (dx) run("segment_sum_grad", dy, offsets, dx.tensor, dx.accumulate);
    },
  });
  return y;
}

export const expandSpec: OpSpec = {
  name: "segmentExpand",
  kernels: ["segment_sum", "segment_sum_grad"],
  math: "y[t] = x[d] for every t from offsets[d] to offsets[d+1] − 1",
  inputs: { x: "[D] f32", offsets: "[D+1] i32" },
  outputs: { y: "[T] f32" },
  tolerance: { f32: 2e-6, bf16: 2e-6 },
};

/**
 * A value per document, given to each of its elements: [D] to [T], the adjoint of segmentSum. Offsets that don't run from
 * 0 to `length` = T poison the stream.
 */
export function segmentExpand(x: Tensor, offsets: Tensor, length: number): Tensor {
  check(expandSpec, { x, offsets });
  if (!Number.isInteger(length) || length < 0) {
    throw new ConfigError(`segmentExpand: length is ${length}, a whole number from 0 was needed`, "length");
  }
  const y = x.device.empty([length]);
  run("segment_sum_grad", x, offsets, y, false);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [offsets],
    backward: ([dy], gradients) => {
      const dx = x.device.empty(x.shape);
      run("segment_sum", dy, offsets, dx);
      gradients.give(x, dx);
    },
  });
  return y;
}

/** The sum of all elements of x [T] f32, as a tensor [1]. */
export function sum(x: Tensor): Tensor {
  return scope(() => segmentSum(x, x.device.tensor(Int32Array.of(0, x.size), [2])));
}
