import { spawn } from "node:child_process";
import { once } from "node:events";
import { device } from "../../lib/core/device.ts";
import { scope } from "../../lib/core/scope.ts";
import { groupedMatmul } from "../../lib/ops/grouped_matmul.ts";
import { linear } from "../../lib/ops/linear.ts";
import { rmsNorm } from "../../lib/ops/rms_norm.ts";
import { swiglu } from "../../lib/ops/swiglu.ts";
import { sample } from "../measure.ts";
import { Operands } from "../workload.ts";
import type { MeasuredCase } from "./peer_case.ts";

type Work = (o: Operands) => () => void;

/** A product, experts with few rows each, an elementwise op, and a row of ops that take microseconds. */
const works: Record<string, Work> = {
  "sgemm 1024": (o) => {
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
      linear(swiglu(linear(h, gate), linear(h, up)), down);
    };
  },
};

const sampleSeconds = 0.06;
const rounds = 11;

/** Time on one thread and on two, of one call: medians of interleaved samples. */
async function secondsOf(work: Work, isa: string): Promise<[one: number, two: number]> {
  using one = await device("cpu", { threads: 1, isa });
  using two = await device("cpu", { threads: 2, isa });
  const sides = [];
  for (const dev of [one, two]) {
    const call = work(new Operands(dev, "f32"));
    const enqueue = () => scope(call);
    await sample(dev, enqueue, 1); // memory, scratch
    const { seconds } = await sample(dev, enqueue, 3);
    const calls = Math.max(1, Math.round(sampleSeconds / seconds));
    sides.push({ dev, enqueue, calls, seconds: [] as number[] });
  }
  for (let r = 0; r < rounds; r++) {
    for (const { dev, enqueue, calls, seconds } of sides)
      seconds.push((await sample(dev, enqueue, calls)).seconds);
  }
  const medians = sides.map(({ seconds }) => seconds.sort((a, b) => a - b)[rounds >> 1]!);
  return [medians[0]!, medians[1]!];
}

/** While a process of its own keeps one processor busy. */
async function besideNeighbour<T>(fn: () => Promise<T>): Promise<T> {
  const neighbour = spawn(process.execPath, ["-e", "for (;;);"]);
  try {
    await once(neighbour, "spawn");
    return await fn();
  } finally {
    const exit = once(neighbour, "exit");
    neighbour.kill("SIGKILL");
    await exit;
  }
}

const scaling = (title: string, work: Work, busy: boolean): MeasuredCase => ({
  figure: busy ? "C12.busy" : "C12.idle",
  title: `${title}${busy ? ", one processor busy" : ""}`,
  dtype: "f32",
  measure: async ({ isa }) => {
    const measured = () => secondsOf(work, isa);
    const [one, two] = await (busy ? besideNeighbour(measured) : measured());
    const milliseconds = (seconds: number): string => `${(seconds * 1e3).toPrecision(3)} ms`;
    return { value: one / two, note: `1 thread ${milliseconds(one)}, 2 threads ${milliseconds(two)}` };
  },
});

export const threadCases: readonly MeasuredCase[] = [false, true].flatMap((busy) =>
  Object.entries(works).map(([title, work]) => scaling(title, work, busy)),
);
