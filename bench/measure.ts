import type { Device } from "../lib/core/device.ts";

export interface Timing {
  medianSeconds: number;
  bestSeconds: number;
  /** Processors we got, on average. Fewer than threads: the op is serial in part, or a neighbour was at work. */
  processors: number;
}

const sampleMs = 10;
const rounds = { min: 3, max: 15 };

export interface Sample {
  seconds: number;
  cpuSeconds: number;
}

/** Time of one call when `calls` are enqueued back to back: N-API crossings included, the queue never empty. */
export async function sample(device: Device, enqueue: () => void, calls: number): Promise<Sample> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let i = 0; i < calls; i++) enqueue();
  await device.ready();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: seconds / calls, cpuSeconds: (user + system) / 1e6 / calls };
}

/** Times the passes in turns, A B C A B C, until `budgetMs` are spent: what disturbs the machine disturbs them all. */
export async function interleaved(
  device: Device,
  passes: readonly (() => void)[],
  budgetMs: number,
): Promise<Timing[]> {
  const calls: number[] = [];
  for (const pass of passes) {
    await sample(device, pass, 1); // warm-up: memory, scratch
    const { seconds } = await sample(device, pass, 1);
    calls.push(Math.min(1000, Math.max(1, Math.round(sampleMs / 1000 / seconds))));
  }
  const samples = passes.map((): Sample[] => []);
  const start = performance.now();
  for (let r = 0; r < rounds.max && (r < rounds.min || performance.now() - start < budgetMs); r++) {
    for (const [i, pass] of passes.entries()) samples[i]!.push(await sample(device, pass, calls[i]!));
  }
  return samples.map((all) => {
    all.sort((a, b) => a.seconds - b.seconds);
    const total = (of: keyof Sample): number => all.reduce((sum, one) => sum + one[of], 0);
    return {
      medianSeconds: all[all.length >> 1]!.seconds,
      bestSeconds: all[0]!.seconds,
      processors: total("cpuSeconds") / total("seconds"),
    };
  });
}

const pairs = { min: 5, max: 21, budgetMs: 3000 };

/**
 * Time of `over` by that of `under`, each time taken beside the other: the median of these ratios, which a machine that changes
 * its pace disturbs less than the ratio of medians. With the median times in seconds.
 */
export async function pairedRatio(
  device: Device,
  over: () => void,
  under: () => void,
): Promise<{ ratio: number; over: number; under: number }> {
  const calls: number[] = [];
  for (const pass of [over, under]) {
    await sample(device, pass, 1);
    calls.push(Math.max(1, Math.round(sampleMs / 1000 / (await sample(device, pass, 1)).seconds)));
  }
  const seconds: { ratio: number; over: number; under: number }[] = [];
  const start = performance.now();
  while (
    seconds.length < pairs.max &&
    (seconds.length < pairs.min || performance.now() - start < pairs.budgetMs)
  ) {
    const first = await sample(device, over, calls[0]!);
    const second = await sample(device, under, calls[1]!);
    seconds.push({ ratio: first.seconds / second.seconds, over: first.seconds, under: second.seconds });
  }
  const median = (of: "ratio" | "over" | "under"): number =>
    seconds.map((one) => one[of]).sort((a, b) => a - b)[seconds.length >> 1]!;
  return { ratio: median("ratio"), over: median("over"), under: median("under") };
}
