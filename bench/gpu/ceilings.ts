import type { Device } from "../../lib/core/device.ts";
import type { DType } from "../../lib/core/dtype.ts";
import { run } from "../../lib/core/run.ts";
import { sample } from "../measure.ts";
import type { Cost } from "../workload.ts";

/** What the device can do. */
export interface Ceilings {
  /** Bytes a second of a copy, read and written. */
  copy: number;
  /** FLOP/s of fused multiply-adds in registers, f32. */
  fma: number;
  /** FLOP/s of the fastest bf16 product of this run, whoever's it was; 0 before there is one. */
  tensor: number;
}

/** Copies so many bytes, all arrays together. */
export async function measureCeilings(dev: Device, bytes: number): Promise<Ceilings> {
  const n = Math.floor(bytes / 8);
  const [from, into] = [dev.full([n], 1), dev.empty([n])];
  const [tasks, flops] = bytes >= 2 ** 30 ? [2 ** 18, 1_600_000] : [64, 16_000];
  const sums = dev.empty([tasks]);
  const best = async (enqueue: () => void): Promise<number> => {
    await sample(dev, enqueue, 5);
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 15; round++) least = Math.min(least, (await sample(dev, enqueue, 3)).seconds);
    return least;
  };
  const copy = (8 * n) / (await best(() => run("stream_copy", from, into)));
  const fma = (tasks * flops) / (await best(() => run("fma_peak", sums, flops)));
  for (const tensor of [from, into, sums]) tensor.dispose();
  return { copy, fma, tensor: 0 };
}

/** The least time the work can take, in seconds; undefined where its ceiling isn't known. */
export function floor(
  { copy, fma, tensor }: Ceilings,
  dtype: DType,
  costs: readonly Cost[],
): number | undefined {
  const rate = dtype === "bf16" ? tensor : fma;
  const flops = costs.reduce((sum, cost) => sum + (cost.flops ?? 0), 0);
  if (flops > 0 && rate === 0) return undefined;
  const moving = costs.reduce((sum, { reads, writes }) => sum + reads + writes, 0) / copy;
  return Math.max(moving, flops > 0 ? flops / rate : 0);
}
