import type { Device } from "../lib/core/device.ts";

export interface Timing {
  medianSeconds: number;
  bestSeconds: number;
  /** Samples behind the two. */
  samples: number;
}

const sampleMs = 10;
const rounds = { min: 3, max: 15 };

/** Seconds for one call when `calls` are enqueued back to back: N-API crossings included, the queue never empty. */
async function sample(device: Device, enqueue: () => void, calls: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < calls; i++) enqueue();
  await device.ready();
  return (performance.now() - start) / 1000 / calls;
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
    const seconds = await sample(device, pass, 1);
    calls.push(Math.min(1000, Math.max(1, Math.round(sampleMs / 1000 / seconds))));
  }
  const seconds = passes.map((): number[] => []);
  const start = performance.now();
  for (let r = 0; r < rounds.max && (r < rounds.min || performance.now() - start < budgetMs); r++) {
    for (const [i, pass] of passes.entries()) seconds[i]!.push(await sample(device, pass, calls[i]!));
  }
  return seconds.map((all) => {
    all.sort((a, b) => a - b);
    return { medianSeconds: all[all.length >> 1]!, bestSeconds: all[0]!, samples: all.length };
  });
}
