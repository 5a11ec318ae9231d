import { type Device, device } from "../lib/core/device.ts";
import { run } from "../lib/core/run.ts";
import { scope } from "../lib/core/scope.ts";
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

async function bestSeconds(dev: Device, calls: number, enqueue: () => void): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let r = 0; r < 9; r++) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) enqueue();
    await dev.ready();
    best = Math.min(best, (performance.now() - start) / 1000 / calls);
  }
  return best;
}

async function fmaPeak(dev: Device): Promise<number> {
  const y = dev.empty([64]);
  const flops = 4_800_000; // a multiple of 160, native/ops/ceiling.h
  const seconds = await bestSeconds(dev, 2, () => run("fma_peak", y, flops));
  y.dispose();
  return (64 * flops) / seconds;
}

async function bandwidth(dev: Device, pattern: Pattern, footprint: number): Promise<number> {
  const { arrays, moves, kernel, operands } = patterns[pattern];
  const n = Math.floor(footprint / arrays / 4);
  const tensors = scope(() => [
    ...Array.from({ length: arrays }, () => dev.full([n], 1)),
    ...Array.from({ length: 3 - arrays }, () => undefined),
    dev.empty([Math.ceil(n / 16384)]),
  ]);
  const calls = Math.max(1, Math.round((32 * mebi) / footprint));
  const seconds = await bestSeconds(dev, calls, () => run(kernel, ...operands.map((i) => tensors[i])));
  for (const tensor of tensors) tensor?.dispose();
  return (moves * n) / seconds;
}

/** Takes about four seconds. */
export async function measureCeilings(dev: Device): Promise<Ceilings> {
  const one = await device("cpu", { threads: 1 });
  const fmaOneThread = await fmaPeak(one);
  one.close();
  const ceilings: Ceilings = {
    threads: dev.stats().threads,
    fma: await fmaPeak(dev),
    fmaOneThread,
    bandwidth: { copy: [], triad: [], read: [], update: [] },
  };
  for (const pattern of Object.keys(patterns) as Pattern[])
    for (const footprint of footprints)
      ceilings.bandwidth[pattern].push(await bandwidth(dev, pattern, footprint));
  return ceilings;
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
