import { ConfigError } from "../core/errors.ts";
import { nextRandomStream } from "../core/random.ts";
import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "dropout",
  kernels: ["dropout"],
  math: "y = x / (1 − p) with probability 1 − p, else 0",
  inputs: { x: "[...T, D] float" },
  outputs: { y: "[...T, D] float" },
  tolerance: { f32: 1e-6, bf16: 1e-2 },
  source: "Srivastava et al. 2014; Philox of Salmon et al. 2011",
};

/** The next mask of rate p, as kernels take it; p = 0 takes no random numbers. Throws ConfigError, in the name of `op`. */
export function drawMask(op: string, p: number): readonly [p: number, seed: number, stream: number] {
  if (!(p >= 0 && p < 1))
    throw new ConfigError(`${op}: p is ${p}, a number from 0 to below 1 was needed`, "dropout");
  if (p === 0) return [0, 0, 0];
  const { seed, stream } = nextRandomStream();
  return [p, seed, stream];
}

/** Drops elements at random; which ones is decided by the seed of the step and the order of the calls. p in [0, 1). */
export function dropout(x: Tensor, p: number): Tensor {
  check(spec, { x });
  const mask = drawMask(spec.name, p);
  if (p === 0) return x;
  const y = x.device.empty(x.shape, x.dtype);
  run("dropout", x, y, ...mask);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [],
    backward: ([dy], gradients) => {
      const dx = x.device.empty(x.shape, x.dtype);
      run("dropout", dy, dx, ...mask);
      gradients.give(x, dx);
    },
  });
  return y;
}
