// P pairs, T tokens
import type { PairBatch } from "../text/alignment_batches.ts";
import { IGNORED, type TokenBatch } from "../text/token_batch.ts";

/** Targets of each document, [D]. */
export function targetCounts({ targets, offsets }: TokenBatch): Float32Array {
  return Float32Array.from({ length: offsets.length - 1 }, (_, d) => {
    let n = 0;
    for (let t = offsets[d]!; t < offsets[d + 1]!; t++) if (targets[t] !== IGNORED) n++;
    return n;
  });
}

/**
 * A weight for each token, [T]: 1 where a completion's token is predicted, `tail` for those beyond the length that chosen
 * and rejected share (length-desensitized DPO, Liu et al. 2024, eq. 8), 0 elsewhere.
 */
export function completionWeights(batch: PairBatch, tail: number): Float32Array {
  const { targets, offsets, pairs } = batch;
  const P = pairs.length;
  const counts = targetCounts(batch);
  const weights = new Float32Array(targets.length);
  for (let d = 0; d < 2 * P; d++) {
    const shared = Math.min(counts[d % P]!, counts[(d % P) + P]!);
    let n = 0;
    for (let t = offsets[d]!; t < offsets[d + 1]!; t++) {
      if (targets[t] === IGNORED) continue;
      weights[t] = n++ < shared ? 1 : tail;
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
