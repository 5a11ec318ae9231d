import { run } from "../../lib/core/run.ts";
import { record } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";

/** Σ over outputs of ⟨output, cotangent⟩, as far as the tape is concerned: its gradient hands each output its cotangent. */
export function dotForTest(outputs: readonly Tensor[], cotangents: readonly Float64Array[]): Tensor {
  const { device } = outputs[0]!;
  const value = device.full([1], 0);
  const seeds = outputs.map((y, i) =>
    device.tensor(Float32Array.from(cotangents[i]!), y.shape, { dtype: y.dtype }),
  );
  record({
    inputs: outputs,
    outputs: [value],
    keeps: seeds,
    backward: (_, gradients) => {
      outputs.forEach((y, i) => {
        const buffer = gradients.buffer(y);
        if (buffer) run("add", seeds[i], buffer.accumulate ? buffer.tensor : undefined, buffer.tensor, 1, 1);
      });
    },
  });
  return value;
}
