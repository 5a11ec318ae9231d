import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "sigmoidGate",
  kernels: ["sigmoid_gate", "sigmoid_gate_grad"],
  math: "y[t] = σ(gate[t]) · x[t]",
  inputs: { x: "[T, D] float", gate: "[T, 1] float" },
  outputs: { y: "[T, D] float" },
  tolerance: { f32: 2e-6, bf16: 1e-2 },
  source: "the shared expert of Qwen2-MoE",
};

/** Scales each row of x by the sigmoid of its gate. */
export function sigmoidGate(x: Tensor, gate: Tensor): Tensor {
  check(spec, { x, gate });
  const y = x.device.empty(x.shape, x.dtype);
  run("sigmoid_gate", x, gate, y);
  record({
    inputs: [x, gate],
    outputs: [y],
    keeps: [x, gate],
    backward: ([dy], gradients) => {
      const dx = x.device.empty(x.shape, x.dtype);
      const dgate = gate.device.empty(gate.shape, gate.dtype);
      run("sigmoid_gate_grad", dy, x, gate, dx, dgate);
      gradients.give(x, dx);
      gradients.give(gate, dgate);
    },
  });
  return y;
}
