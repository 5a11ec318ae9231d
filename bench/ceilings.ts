import { type Device, device } from "../lib/core/device.ts";
import { run } from "../lib/core/run.ts";
import type { Tensor } from "../lib/core/tensor.ts";
import type { Cost } from "./workload.ts";

/**
 * What the machine can do, measured in this process with our own threads and instruction set. Bandwidths are of the STREAM
 * kind, at several footprints (bytes of all arrays together): what lies in a cache is faster than what lies in memory.
 */
export interface Ceilings {
  threads: number;
  /** FLOP/s of fused multiply-adds in registers. */
  fma: number;
  fmaOneThread: number;
  /** Bytes a second by pattern, for each of `footprints`. */
  bandwidth: Record<Pattern, number[]>;
}

export type Pattern = "copy" | "triad" | "read" | "update";

const mebi = 2 ** 20;
export const footprints = [2, 8, 32, 128, 512].map((n) => n * mebi);

/** Per pattern: how many arrays it takes, bytes it moves per element, and its kernel call. */
const patterns = {
  copy: { arrays: 2, moves: 8, kernel: "stream_copy", operands: [0, 1] },
  triad: { arrays: 3, moves: 12, kernel: "stream_triad", operands: [0, 1, 2] },
  read: { arrays: 1, moves: 4, kernel: "stream_read", operands: [0, 3] },
  update: { arrays: 1, moves: 8, kernel: "stream_copy", operands: [0, 0] },
} as const;

/** Something to time: `amount` FLOP or bytes in `calls` calls. */
interface Probe {
  dev: Device;
  calls: number;
  amount: number;
  enqueue: () => void;
  best: number;
}

const probe = (dev: Device, calls: number, amount: number, enqueue: () => void): Probe => ({
  dev,
  calls,
  amount: calls * amount,
  enqueue,
  best: 0,
});

async function seconds({ dev, calls, enqueue }: Probe): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < calls; i++) enqueue();
  await dev.ready();
  return (performance.now() - start) / 1000;
}

function fmaProbe(dev: Device): Probe {
  const y = dev.empty([64]);
  const flops = 4_800_000; // a multiple of 160, native/ops/ceiling.h
  return probe(dev, 2, 64 * flops, () => run("fma_peak", y, flops));
}

/** `memory` is what all probes share: their arrays are laid end to end in it. */
function bandwidthProbe(dev: Device, memory: Tensor, pattern: Pattern, footprint: number): Probe {
  const { arrays, moves, kernel, operands } = patterns[pattern];
  const n = Math.floor(footprint / arrays / 4);
  const tensors = [0, 1, 2].map((i) => (i < arrays ? memory.view([n], i * n) : undefined));
  const sums = dev.empty([Math.ceil(n / 16384)]);
  const calls = Math.max(1, Math.round((32 * mebi) / footprint));
  return probe(dev, calls, moves * n, () => run(kernel, ...operands.map((i) => [...tensors, sums][i])));
}

/**
 * Takes about five seconds. The best of several rounds counts, and a round asks every probe once: a neighbour who takes a
 * processor for a second spoils no ceiling. `dev` is closed by the caller, which takes back the memory.
 */
export async function measureCeilings(dev: Device): Promise<Ceilings> {
  using one = await device("cpu", { threads: 1 });
  const names = Object.keys(patterns) as Pattern[];
  const memory = dev.full([footprints.at(-1)! / 4], 1);
  const fmaOneThread = fmaProbe(one);
  const fma = fmaProbe(dev);
  const streams = names.map((name) => footprints.map((bytes) => bandwidthProbe(dev, memory, name, bytes)));
  for (let round = 0; round < 12; round++) {
    for (const probe of [fmaOneThread, fma, ...streams.flat()]) {
      await seconds(probe); // brings the arrays back into the caches that hold them
      probe.best = Math.max(probe.best, probe.amount / (await seconds(probe)));
    }
  }
  const rates = streams.map((probes) => probes.map(({ best }) => best));
  return {
    threads: dev.stats().threads,
    fma: fma.best,
    fmaOneThread: fmaOneThread.best,
    bandwidth: Object.fromEntries(names.map((name, i) => [name, rates[i]])) as Ceilings["bandwidth"],
  };
}

/** The pattern that a pass can't beat: read alone where it hardly writes, else the faster of copy and triad. */
function memoryCeiling({ bandwidth }: Ceilings, { reads, writes, inPlace }: Cost) {
  const larger = footprints.findIndex((footprint) => footprint > reads + (inPlace ? 0 : writes));
  const at = larger === -1 ? footprints.length - 1 : Math.max(0, larger - 1);
  const candidates: Pattern[] = writes < reads / 8 ? ["read"] : inPlace ? ["update"] : ["copy", "triad"];
  const name = candidates.reduce((a, b) => (bandwidth[b][at]! > bandwidth[a][at]! ? b : a));
  return { name, bytesPerSecond: bandwidth[name][at]! };
}

/** The least time a pass can take (roofline, Williams et al. 2009), and what sets it. */
export function floor(ceilings: Ceilings, cost: Cost): { seconds: number; bound: Pattern | "fma" } {
  const memory = memoryCeiling(ceilings, cost);
  const moving = (cost.reads + cost.writes) / memory.bytesPerSecond;
  const computing = (cost.flops ?? 0) / ceilings.fma;
  return computing > moving ? { seconds: computing, bound: "fma" } : { seconds: moving, bound: memory.name };
}
