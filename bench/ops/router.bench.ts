import { router } from "../../lib/ops/router.ts";
import type { BenchCase } from "../workload.ts";

const routing = (T: number, E: number, topK: number): BenchCase => ({
  title: `T ${T}, E ${E}, K ${topK}`,
  dtypes: ["f32"],
  make: (o) => {
    const logits = o.normal([T, E]);
    return {
      activations: [logits],
      call: () => router(logits, { topK, renormalize: true }).weights,
      forward: { reads: 4 * T * E, writes: 4 * T * E + 8 * T * topK },
      backward: { reads: 4 * T * E + 8 * T * topK, writes: 4 * T * E },
    };
  },
});

export const cases = [routing(2048, 8, 2), routing(2048, 64, 8)];
