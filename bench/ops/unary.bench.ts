import { exp, logSigmoid } from "../../lib/ops/unary.ts";
import type { BenchCase } from "../workload.ts";

const T = 65536;

const vector = (name: string, op: typeof exp): BenchCase => ({
  title: `${name}, T ${T}`,
  dtypes: ["f32"],
  make: (o) => {
    const x = o.normal([T]);
    return {
      activations: [x],
      call: () => op(x),
      forward: { reads: 4 * T, writes: 4 * T },
      backward: { reads: 8 * T, writes: 4 * T },
    };
  },
});

export const cases = [vector("exp", exp), vector("logSigmoid", logSigmoid)];
