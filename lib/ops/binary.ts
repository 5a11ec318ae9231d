import { run } from "../core/run.ts";
import { needsGrad, record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "binary",
  kernels: ["binary", "binary_grad"],
  math: "y = f(a, b): multiply, minimum, maximum",
  inputs: { a: "[...T, D] f32", b: "[...T, D] f32" },
  outputs: { y: "[...T, D] f32" },
  tolerance: { f32: 1e-6, bf16: 1e-6 },
};

/** In the order of the enum Binary in native/ops/binary.h. */
const kinds = ["multiply", "minimum", "maximum"] as const;

function binary(name: (typeof kinds)[number], a: Tensor, b: Tensor): Tensor {
  check({ ...spec, name }, { a, b });
  const kind = kinds.indexOf(name);
  const y = a.device.empty(a.shape);
  run("binary", a, b, y, kind);
  const wanted = [a, b].map(needsGrad);
  record({
    inputs: [a, b],
    outputs: [y],
    keeps: [a, b],
    backward: ([dy], gradients) => {
      const [da, db] = wanted.map((wants) => (wants ? a.device.empty(a.shape) : undefined));
      run("binary_grad", dy, a, b, da, db, kind);
      if (da) gradients.give(a, da);
      if (db) gradients.give(b, db);
    },
  });
  return y;
}

/** a · b, element by element; f32 of one shape. */
export const multiply = (a: Tensor, b: Tensor): Tensor => binary("multiply", a, b);

/**
 * The lesser of a and b, element by element; f32 of one shape. NaN where either is NaN. The gradient goes to the lesser one,
 * half to each where they are equal.
 */
export const minimum = (a: Tensor, b: Tensor): Tensor => binary("minimum", a, b);

/**
 * The greater of a and b, element by element; f32 of one shape. NaN where either is NaN. The gradient goes to the greater
 * one, half to each where they are equal.
 */
export const maximum = (a: Tensor, b: Tensor): Tensor => binary("maximum", a, b);
