import { spawn } from "node:child_process";
import { once } from "node:events";
import { type Device, device } from "../../lib/core/device.ts";
import { scope } from "../../lib/core/scope.ts";
import { groupedMatmul } from "../../lib/ops/grouped_matmul.ts";
import { linear } from "../../lib/ops/linear.ts";
import { rmsNorm } from "../../lib/ops/rms_norm.ts";
import { swiglu } from "../../lib/ops/swiglu.ts";
import { sample } from "../measure.ts";
import { Operands } from "../workload.ts";

type Work = (o: Operands) => () => void;

/** A product, experts with few rows each, an elementwise op, and ops of a few microseconds each, one after the other. */
const works: Record<string, Work> = {
  "matmul 1024": (o) => {
    const [x, weight] = [o.normal([1024, 1024]), o.normal([1024, 1024])];
    return () => void linear(x, weight);
  },
  "grouped GEMM, E 64, 16 rows each, 1024→512": (o) => {
    const [E, rows] = [64, 16];
    const x = o.normal([E * rows, 1024]);
    const weight = o.normal([E, 512, 1024]);
    const ends = Array.from({ length: E + 1 }, (_, e) => e * rows);
    const offsets = o.ints(ends, [E + 1]);
    return () => void groupedMatmul(x, weight, { offsets });
  },
  "swiglu 512 × 1024": (o) => {
    const [gate, up] = [o.normal([512, 1024]), o.normal([512, 1024])];
    return () => void swiglu(gate, up);
  },
  "small ops, T 32, D 256, F 512": (o) => {
    const x = o.normal([32, 256]);
    const norm = o.normal([256]);
    const [gate, up, down] = [o.normal([512, 256]), o.normal([512, 256]), o.normal([256, 512])];
    return () => {
      const h = rmsNorm(x, norm, { eps: 1e-5 });
      linear(swiglu(linear(h, gate), linear(h, up)), down, { onto: x });
    };
  },
};

/** The speed on two threads by that on one. */
export interface Scaling {
  work: string;
  speedup: number;
}

const sampleSeconds = 0.06;
const rounds = 9;

/** With `busy`, while a process of its own keeps one processor busy all the time. */
export async function scalings(isa: string, { busy }: { busy: boolean }): Promise<Scaling[]> {
  const neighbour = busy ? spawn(process.execPath, ["-e", "for (;;);"]) : undefined;
  try {
    const results: Scaling[] = [];
    for (const [work, make] of Object.entries(works)) {
      using one = await device("cpu", { threads: 1, isa });
      using two = await device("cpu", { threads: 2, isa });
      results.push({ work, speedup: await speedup(one, two, make) });
    }
    return results;
  } finally {
    if (neighbour) {
      const exit = once(neighbour, "exit");
      neighbour.kill("SIGKILL");
      await exit;
    }
  }
}

async function speedup(one: Device, two: Device, make: Work): Promise<number> {
  const sides = [];
  for (const dev of [one, two]) {
    const call = make(new Operands(dev, "f32"));
    const enqueue = () => scope(call);
    await sample(dev, enqueue, 1); // memory, scratch
    const { seconds } = await sample(dev, enqueue, 3);
    const calls = Math.max(1, Math.round(sampleSeconds / seconds));
    sides.push({ dev, enqueue, calls, times: [] as number[] });
  }
  for (let r = 0; r < rounds; r++) {
    for (const { dev, enqueue, calls, times } of sides)
      times.push((await sample(dev, enqueue, calls)).seconds);
  }
  const [single, pair] = sides.map(({ times }) => times.sort((a, b) => a - b)[rounds >> 1]!);
  return single! / pair!;
}
