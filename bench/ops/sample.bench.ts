import { sample } from "../../lib/ops/sample.ts";
import type { BenchCase } from "../workload.ts";

const V = 32000;

const drawing = (
  B: number,
  how: string,
  options: { temperature: number; topK: number; topP: number },
): BenchCase => ({
  title: `B ${B}, V ${V}, ${how}`,
  make: (o) => {
    const logits = o.normal([B, V], { std: 3 });
    return {
      call: () => sample(logits, { ...options, seed: 1, position: 0 }),
      forward: { reads: o.bytes * B * V, writes: 4 * B },
    };
  },
});

export const cases = [
  drawing(8, "greedy", { temperature: 0, topK: 0, topP: 1 }),
  drawing(8, "temperature", { temperature: 1, topK: 0, topP: 1 }),
  drawing(8, "top-k 50, top-p 0.9", { temperature: 1, topK: 50, topP: 0.9 }),
  drawing(8, "top-p 0.9", { temperature: 1, topK: 0, topP: 0.9 }),
];
