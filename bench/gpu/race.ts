import type { Sample } from "../measure.ts";

export interface Side {
  name: string;
  /** Of one call, on average of so many. */
  time: (calls: number) => Promise<Sample>;
}

/** Seconds of a call. */
export interface Standing {
  median: number;
  best: number;
  /** Of each round, in order. */
  rounds: number[];
}

export interface Effort {
  warmups: number;
  rounds: number;
  /** How long a sample is about to take. */
  sampleSeconds: number;
}

/** performance.md §4. */
export const usual: Effort = { warmups: 5, rounds: 15, sampleSeconds: 0.01 };

/** Lets the sides take turns, A B C A B C. */
export async function race(sides: readonly Side[], effort: Effort = usual): Promise<Standing[]> {
  const calls: number[] = [];
  for (const { time } of sides) {
    await time(1);
    const { seconds } = await time(effort.warmups - 1);
    calls.push(Math.min(100, Math.max(1, Math.round(effort.sampleSeconds / seconds))));
  }
  const all = sides.map((): number[] => []);
  for (let round = 0; round < effort.rounds; round++) {
    for (const [i, { time }] of sides.entries()) all[i]!.push((await time(calls[i]!)).seconds);
  }
  return all.map((rounds) => {
    const sorted = [...rounds].sort((a, b) => a - b);
    return { median: sorted[sorted.length >> 1]!, best: sorted[0]!, rounds };
  });
}
