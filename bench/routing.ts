import { permutation } from "../lib/core/random.ts";

/** How unevenly tokens spread over the experts. Zipf: expert e's share is as 1/(e+1). */
export const loads = ["uniform", "zipf", "one25"] as const;
export type Load = (typeof loads)[number];

export const loadTitle: Record<Load, string> = {
  uniform: "uniform",
  zipf: "Zipf 1.0",
  one25: "one expert 25 %",
};

const shares: Record<Load, (E: number) => number[]> = {
  uniform: (E) => Array.from({ length: E }, () => 1),
  zipf: (E) => Array.from({ length: E }, (_, e) => 1 / (e + 1)),
  one25: (E) => Array.from({ length: E }, (_, e) => (e === 0 ? 0.25 : 0.75 / (E - 1))),
};

/**
 * `slots` expert numbers in random order, with exactly the shares of `load`. A token may meet one expert twice: the
 * experts' work is the same.
 */
export function routed(load: Load, E: number, slots: number): Int32Array {
  const weights = shares[load](E);
  const total = weights.reduce((a, b) => a + b, 0);
  const ends: number[] = [];
  let sum = 0;
  for (const weight of weights) {
    sum += weight;
    ends.push(Math.round((sum / total) * slots));
  }
  return permutation(slots, 7).map((slot) => ends.findIndex((end) => slot < end));
}
