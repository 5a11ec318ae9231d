// How often a token's experts are chosen again for the next token (Jiang et al. 2024, §5, table 5).
import { permutation } from "../../../lib/core/random.ts";
import type { TokenBatch } from "../../../lib/index.ts";
import { mean } from "../findings.ts";
import type { LayerChoices } from "./choices.ts";

export interface Repeats {
  /** Share of the pairs of neighbouring tokens with the same first expert. */
  first: number;
  /** Share of them with an expert in common among the first two. */
  either: number;
}

/** Where two neighbouring tokens of one document are, in all batches end to end: the index of the first. */
export function neighbours(batches: readonly TokenBatch[]): number[] {
  const found: number[] = [];
  let base = 0;
  for (const { tokens, offsets } of batches) {
    for (let d = 0; d + 1 < offsets.length; d++)
      for (let t = offsets[d]!; t + 1 < offsets[d + 1]!; t++) found.push(base + t);
    base += tokens.length;
  }
  return found;
}

/** Of the pairs (t, t + 1); NaN without any. `order`: which token's choices stand at each place. */
export function repeatsOf(
  { experts, K }: LayerChoices,
  pairs: readonly number[],
  order?: Int32Array,
): Repeats {
  const at = (t: number): number => (order ? order[t]! : t) * K;
  let first = 0;
  let either = 0;
  for (const t of pairs) {
    const [a, b] = [at(t), at(t + 1)];
    if (experts[a] === experts[b]) first++;
    const two = Math.min(2, K);
    const shares = (x: number): boolean => experts.subarray(b, b + two).includes(x);
    if (experts.subarray(a, a + two).some(shares)) either++;
  }
  return { first: first / pairs.length, either: either / pairs.length };
}

const kShuffles = 4;

/** The same for tokens in random order: what the load alone, uneven as it may be, makes of it. */
export function chanceRepeats(choices: LayerChoices, pairs: readonly number[]): Repeats {
  const T = choices.experts.length / choices.K;
  const drawn = Array.from({ length: kShuffles }, (_, k) =>
    repeatsOf(choices, pairs, permutation(T, 11 + k)),
  );
  return { first: mean(drawn.map((r) => r.first)), either: mean(drawn.map((r) => r.either)) };
}

/** What random routing to 2 of E experts, evenly loaded, gives. */
export const evenChance = (E: number): Repeats => ({
  first: 1 / E,
  either: 1 - ((E - 2) / E) * ((E - 3) / (E - 1)),
});
