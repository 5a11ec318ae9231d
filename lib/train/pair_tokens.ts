// P pairs, N targets
import type { PairBatch } from "../text/alignment_batches.ts";
import { IGNORED, type TokenBatch, targetPlaces } from "../text/token_batch.ts";

/** Targets of each document, [D]. */
export function targetCounts(batch: TokenBatch): Float32Array {
  const { starts } = targetPlaces(batch);
  return Float32Array.from({ length: starts.length - 1 }, (_, d) => starts[d + 1]! - starts[d]!);
}

/**
 * A weight for each of the N targets of `input`, which has those of `batch` and may have more: 1 where `batch` has one too, `tail`
 * for those beyond the length that chosen and rejected share (length-desensitized DPO, Liu et al. 2024, eq. 8), else 0.
 */
export function completionWeights(batch: PairBatch, input: TokenBatch, tail: number): Float32Array {
  const P = batch.pairs.length;
  const counts = targetCounts(batch);
  const { places, starts } = targetPlaces(input);
  const weights = new Float32Array(places.length);
  for (let d = 0; d < 2 * P; d++) {
    const shared = Math.min(counts[d % P]!, counts[(d % P) + P]!);
    let n = 0;
    for (let i = starts[d]!; i < starts[d + 1]!; i++) {
      if (batch.targets[places[i]!] === IGNORED) continue;
      weights[i] = n++ < shared ? 1 : tail;
    }
  }
  return weights;
}

/** The same batch, in which the prompts of the chosen documents are to be predicted too. */
export function withPromptTargets(batch: PairBatch): PairBatch {
  const { tokens, offsets, pairs } = batch;
  const targets = batch.targets.slice();
  for (let d = 0; d < pairs.length; d++) {
    for (let t = offsets[d]!; t + 1 < offsets[d + 1]!; t++) targets[t] = tokens[t + 1]!;
  }
  return { ...batch, targets };
}
