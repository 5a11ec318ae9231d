import { router } from "../../lib/ops/router.ts";
import type { BenchCase } from "../workload.ts";

const routing = (T: number, E: number, topK: number, biased = false): BenchCase => ({
  title: `T ${T}, E ${E}, K ${topK}${biased ? ", biased" : ""}`,
  dtypes: ["f32"],
  make: (o) => {
    const logits = o.normal([T, E]);
    const bias = biased ? o.normal([E]) : undefined;
    return {
      activations: [logits],
      call: () => router(logits, { topK, renormalize: true, bias }).weights,
      forward: { reads: 4 * T * E, writes: 4 * T * E + 8 * T * topK },
      backward: { reads: 4 * T * E + 8 * T * topK, writes: 4 * T * E },
    };
  },
});

export const cases = [routing(2048, 8, 2), routing(2048, 64, 8), routing(2048, 64, 8, true)];
