import { ShapeError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { gatherRows } from "./gather_rows.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "argsort",
  kernels: ["argsort"],
  math: "x[order[0]] ≤ x[order[1]] ≤ …, stable, NaN last",
  inputs: { x: "[N] f32" },
  outputs: { order: "[N] i32" },
  tolerance: { f32: 0, bf16: 0 },
};

/** A GPU compares every pair. */
const most = 1 << 16;

/**
 * The places of the elements of x [N] f32 from the least to the greatest, [N] i32; equal ones as they stand, NaN last. No
 * gradient. For a number per sequence: throws ShapeError above 65536 elements.
 */
export function argsort(x: Tensor): Tensor {
  return ordered(spec, x);
}

export const sortSpec: OpSpec = {
  ...spec,
  name: "sort",
  math: "y[i] = x[argsort(x)[i]]",
  outputs: { y: "[N] f32" },
};

/** The elements of x [N] f32 from the least to the greatest, NaN last; limits as in argsort. The gradient goes where x came from. */
export function sort(x: Tensor): Tensor {
  return scope(() => {
    const order = ordered(sortSpec, x);
    return gatherRows(x.view([x.size, 1]), order).view(x.shape);
  });
}

function ordered(of: OpSpec, x: Tensor): Tensor {
  const { N = 0 } = check(of, { x });
  if (N > most)
    throw new ShapeError(`${of.name}: x has ${N} elements, at most ${most} were needed`, of.name, [`${x}`]);
  const order = x.device.empty([N], "i32");
  run("argsort", x, order);
  return order;
}
