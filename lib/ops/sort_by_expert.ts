import { run } from "../core/run.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "sortByExpert",
  kernels: ["sort_by_expert"],
  math: "stable counting sort of the slots t·K + k by experts[t, k]",
  inputs: { experts: "[T, K] i32" },
  outputs: { offsets: "[E+1] i32", slots: "[N] i32", tokens: "[N] i32", positions: "[N] i32" },
  tolerance: { f32: 0, bf16: 0 },
  source: "Gale et al. 2022 (MegaBlocks)",
};

export interface Sorted {
  /** [E+1]: where each expert's rows begin. */
  offsets: Tensor;
  /** [N]: sorted position → slot. */
  slots: Tensor;
  /** [N]: sorted position → token. */
  tokens: Tensor;
  /** [N]: slot → sorted position. */
  positions: Tensor;
}

/** Orders the N = T·K routed slots by expert; the order within an expert is that of the tokens. No data reaches the host. */
export function sortByExpert(experts: Tensor, expertCount: number): Sorted {
  const { T = 0, K = 0 } = check(spec, { experts });
  const list = (n: number) => experts.device.empty([n], "i32");
  const sorted = {
    offsets: list(expertCount + 1),
    slots: list(T * K),
    tokens: list(T * K),
    positions: list(T * K),
  };
  run("sort_by_expert", experts, sorted.offsets, sorted.slots, sorted.tokens, sorted.positions);
  return sorted;
}
