import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "unary",
  kernels: ["unary", "unary_grad"],
  math:
    "y = f(x): exp, log, square, sqrt, reciprocal, sigmoid, logSigmoid = log σ(x), " +
    "log1mExp = log(1 − e^x), clamp to [lo, hi]",
  inputs: { x: "[...T, D] f32" },
  outputs: { y: "[...T, D] f32" },
  tolerance: { f32: 1e-6, bf16: 1e-6 },
  source: "log1mExp: Mächler 2012, Accurately computing log(1 − exp(−|a|))",
};

/** In the order of the enum Unary in native/ops/unary.h. */
const kinds = [
  "exp",
  "log",
  "square",
  "sqrt",
  "reciprocal",
  "sigmoid",
  "logSigmoid",
  "log1mExp",
  "clamp",
] as const;

function unary(name: (typeof kinds)[number], x: Tensor, lo = 0, hi = 0): Tensor {
  check({ ...spec, name }, { x });
  const kind = kinds.indexOf(name);
  const y = x.device.empty(x.shape);
  run("unary", x, y, kind, lo, hi);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [x],
    backward: ([dy], gradients) => {
      const dx = x.device.empty(x.shape);
      run("unary_grad", dy, x, dx, kind, lo, hi);
      gradients.give(x, dx);
    },
  });
  return y;
}

/** e^x of each element of x, f32 of any shape; infinity above 88.7. */
export const exp = (x: Tensor): Tensor => unary("exp", x);

/** The natural logarithm of each element of x, f32 of any shape; −infinity of 0, NaN below. */
export const log = (x: Tensor): Tensor => unary("log", x);

/** x² of each element of x, f32 of any shape. */
export const square = (x: Tensor): Tensor => unary("square", x);

/** √x of each element of x, f32 of any shape; NaN below 0. The gradient at 0 is infinite. */
export const sqrt = (x: Tensor): Tensor => unary("sqrt", x);

/** 1 / x of each element of x, f32 of any shape; ±infinity of ±0. */
export const reciprocal = (x: Tensor): Tensor => unary("reciprocal", x);

/** σ(x) = 1 / (1 + e^−x) of each element of x, f32 of any shape. */
export const sigmoid = (x: Tensor): Tensor => unary("sigmoid", x);

/** log σ(x) of each element of x, f32 of any shape, finite for every finite x: near x itself where x is far below 0. */
export const logSigmoid = (x: Tensor): Tensor => unary("logSigmoid", x);

/**
 * log(1 − e^x) of each element of x, f32 of any shape: from log p to log(1 − p), to full precision for p near 0 and near 1.
 * −infinity of 0 (with an infinite gradient), NaN above.
 */
export const log1mExp = (x: Tensor): Tensor => unary("log1mExp", x);

/**
 * Each element of x, f32 of any shape, no less than `lo` and no more than `hi`, which may be infinite; NaN stays NaN. The
 * gradient is 1 inside and at the bounds, 0 outside. Throws ConfigError unless lo ≤ hi.
 */
export function clamp(x: Tensor, lo: number, hi: number): Tensor {
  if (!(lo <= hi)) throw new ConfigError(`clamp: lo is ${lo} and hi is ${hi}, lo ≤ hi was needed`, "lo");
  return unary("clamp", x, lo, hi);
}
