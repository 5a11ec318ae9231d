import type { DType } from "../../lib/core/dtype.ts";
import { run } from "../../lib/core/run.ts";
import type { BenchCase } from "../workload.ts";

// The kernel itself, over the tensors of a small model: E experts of D×F, three each.
const [E, D, F] = [8, 512, 512];

const N = 3 * E * D * F;

/** `kinds`: format and elements a parameter of the state tensors, both moments'. */
const pass = (kernel: string, kinds: [DType, number][], bytes: number): BenchCase => ({
  title: `${3 * E} tensors, ${(N / 1e6).toFixed(1)} million parameters${kernel === "adamw" ? "" : ", states in 8 bits"}`,
  make: (o) => {
    const list = (dtype: DType, std: number) =>
      Array.from({ length: 3 * E }, () => o.normal([F, D], { dtype, std }));
    const grads = list("f32", 1e-3);
    const params = list(o.dtype, 0.02);
    const states = kinds.map(([dtype, share]) => grads.map(() => o.device.full([D * F * share], 0, dtype)));
    const masters = o.dtype === "bf16" ? list("f32", 0.02) : params.map(() => undefined);
    const numbers = [1e-4, 0.9, 0.95, 1e-8, 0.1, true, 10];
    return {
      call: () => {
        run(kernel, grads, params, ...states, masters, undefined, ...numbers);
        return undefined;
      },
      forward: {
        reads: (8 + bytes) * N,
        writes: (o.dtype === "bf16" ? 6 + bytes : 4 + bytes) * N,
        inPlace: true,
      },
    };
  },
});

const in8Bits: [DType, number][] = [
  ["i32", 1 / 4],
  ["f32", 1 / 256],
];

export const cases: BenchCase[] = [
  pass(
    "adamw",
    [
      ["f32", 1],
      ["f32", 1],
    ],
    8,
  ),
  pass("adamw_8bit", [...in8Bits, ...in8Bits], 2 + 1 / 32),
];
