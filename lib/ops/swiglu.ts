import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "swiglu",
  kernels: ["swiglu", "swiglu_grad"],
  math: "y = silu(gate) · up, silu(z) = z / (1 + e^-z)",
  inputs: { gate: "[...T, F] float", up: "[...T, F] float" },
  outputs: { y: "[...T, F] float" },
  tolerance: { f32: 2e-6, bf16: 1e-2 },
  source: "Shazeer 2020",
};

/** The gated activation of Llama-style MLPs. */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  check(spec, { gate, up });
  const y = gate.device.empty(gate.shape, gate.dtype);
  run("swiglu", gate, up, y);
  record({
    inputs: [gate, up],
    outputs: [y],
    keeps: [gate, up],
    backward: ([dy], gradients) => {
      const dgate = gate.device.empty(gate.shape, gate.dtype);
      const dup = gate.device.empty(gate.shape, gate.dtype);
      run("swiglu_grad", dy, gate, up, dgate, dup);
      gradients.give(gate, dgate);
      gradients.give(up, dup);
    },
  });
  return y;
}
