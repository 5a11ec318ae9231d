import { argsort } from "../../lib/ops/argsort.ts";
import type { BenchCase } from "../workload.ts";

export const cases: BenchCase[] = [64, 4096].map((N) => ({
  title: `N ${N}`,
  dtypes: ["f32"],
  make: (o) => {
    const x = o.normal([N]);
    return { call: () => argsort(x), forward: { reads: 4 * N, writes: 4 * N } };
  },
}));
