import { ShapeError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "add",
  kernels: ["add", "fill"],
  math: "y = alpha·a + beta·b",
  inputs: { a: "[...T, D] float", b: "[...T, D] float" },
  outputs: { y: "[...T, D] float" },
  tolerance: { f32: 1e-6, bf16: 1e-2 },
};

/** A weighted sum of two tensors of one shape, in a's format. */
export function add(a: Tensor, b: Tensor, { alpha = 1, beta = 1 } = {}): Tensor {
  check(spec, { a, b });
  const y = a.device.empty(a.shape, a.dtype);
  run("add", a, b, y, alpha, beta);
  record({
    inputs: [a, b],
    outputs: [y],
    keeps: [],
    backward: ([dy], gradients) => {
      gradients.give(a, scaled(dy!, alpha));
      gradients.give(b, scaled(dy!, beta));
    },
  });
  return y;
}

const scaleSpec: OpSpec = { ...spec, name: "scale", inputs: { x: "[...T, D] float" } };

/** factor · x. */
export function scale(x: Tensor, factor: number): Tensor {
  check(scaleSpec, { x });
  const y = scaled(x, factor, true);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [],
    backward: ([dy], gradients) => gradients.give(x, scaled(dy!, factor)),
  });
  return y;
}

/** alpha₁·x₁ + alpha₂·x₂ + … of scalars [1]: how losses are put together. Throws ShapeError for anything else. */
export function weightedSum(terms: readonly { value: Tensor; weight: number }[]): Tensor {
  const [first, ...rest] = terms;
  if (first === undefined || terms.some(({ value }) => value.size !== 1)) {
    throw new ShapeError(
      `weightedSum: ${terms.map(({ value }) => value.toString()).join(", ")}, scalars were needed`,
      "weightedSum",
    );
  }
  return scope(() =>
    rest.reduce(
      (total, { value, weight }) => add(total, value, { beta: weight }),
      scale(first.value, first.weight),
    ),
  );
}

/** Overwrites `target` with x, in target's format. It carries no gradient. */
export function copyInto(x: Tensor, target: Tensor): void {
  check(spec, { a: x, b: target });
  run("add", x, undefined, target, 1, 0);
  target.root.version++;
}

function scaled(x: Tensor, factor: number, copy = false): Tensor {
  if (factor === 1 && !copy) return x;
  const y = x.device.empty(x.shape, x.dtype);
  run("add", x, undefined, y, factor, 0);
  return y;
}
