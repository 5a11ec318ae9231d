import { permutation } from "../core/random.ts";

export interface EpochOptions {
  /** Decides the order, another one in each epoch. Default 0. */
  seed?: number;
  /** False keeps the order as it is given. Default true. */
  shuffle?: boolean;
}

/**
 * Numbers 0 … count-1 in batches, epoch after epoch: each epoch has every number once, in an order of its own, which `split`
 * makes batches of. The result gives batch `index`, which depends on `index` alone.
 */
export function epochBatches(
  count: number,
  { seed = 0, shuffle = true }: EpochOptions,
  split: (order: readonly number[]) => number[][],
): (index: number) => readonly number[] {
  /** Batches before epoch e. */
  const before = [0];
  let latest = { epoch: -1, batches: [] as number[][] };
  const epochOf = (epoch: number): number[][] => {
    if (latest.epoch !== epoch && (shuffle || latest.epoch === -1)) {
      const order = shuffle ? permutation(count, seed, epoch) : Array.from({ length: count }, (_, i) => i);
      latest = { epoch, batches: split(Array.from(order)) };
    }
    return latest.batches;
  };
  return (index) => {
    for (let e = before.length - 1; before[e]! <= index; e++) before[e + 1] = before[e]! + epochOf(e).length;
    const epoch = before.findLastIndex((first) => first <= index);
    return epochOf(epoch)[index - before[epoch]!]!;
  };
}

/** Lists of `size` numbers; the last has what remains. */
export const inBatchesOf =
  (size: number) =>
  (order: readonly number[]): number[][] =>
    Array.from({ length: Math.ceil(order.length / size) }, (_, b) => order.slice(b * size, (b + 1) * size));
