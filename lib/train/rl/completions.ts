// B completions, N of their tokens laid end to end, T tokens with their prompts, D hidden

import { scope } from "../../core/scope.ts";
import { disposeAll, withoutGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { type TokenBatch, targetPlaces } from "../../text/token_batch.ts";
import { batchOf, type Sample } from "./rollout.ts";

/** What was noted of completions when they were drawn: columns of numbers, [N] each, by name. */
export type Columns<Name extends string> = Readonly<Record<Name, Float32Array>>;

/** Completions with what was noted of them, as a batch to learn from. */
export interface CompletionBatch<Name extends string> extends TokenBatch {
  /** Where completions begin among the N tokens, [B+1]. */
  readonly starts: Int32Array;
  readonly columns: Columns<Name>;
  /** Which completions of the rollout they are. */
  readonly chosen: readonly number[];
}

/** The completions `chosen` of a rollout, with their share of its columns. */
export function chooseCompletions<Name extends string>(
  samples: readonly Sample[],
  starts: Int32Array,
  columns: Columns<Name>,
  chosen: readonly number[],
): CompletionBatch<Name> {
  const batch = batchOf(chosen.map((i) => samples[i]!));
  const mine = Object.entries(columns) as [Name, Float32Array][];
  const pick = (column: Float32Array): Float32Array =>
    Float32Array.from(chosen.flatMap((i) => [...column.subarray(starts[i]!, starts[i + 1]!)]));
  return {
    ...batch,
    starts: targetPlaces(batch).starts,
    columns: Object.fromEntries(mine.map(([name, column]) => [name, pick(column)])) as Columns<Name>,
    chosen,
  };
}

/**
 * Numbers of all tokens of all completions, [N], from passes over `size` completions at a time, without a gradient. `pass` gives
 * tensors [N] of a batch, by name.
 */
export async function measureCompletions<Name extends string>(
  samples: readonly Sample[],
  size: number,
  pass: (batch: TokenBatch) => Record<Name, Tensor>,
): Promise<Columns<Name>> {
  const parts: Record<string, Float32Array[]> = {};
  for (let first = 0; first < samples.length; first += size) {
    const batch = batchOf(samples.slice(first, first + size));
    const measured = withoutGrad(() => scope(() => pass(batch)));
    try {
      const entries = Object.entries(measured) as [Name, Tensor][];
      const values = await Promise.all(entries.map(([, tensor]) => tensor.data()));
      entries.forEach(([name], i) => {
        parts[name] ??= [];
        parts[name].push(values[i] as Float32Array);
      });
    } finally {
      disposeAll(measured);
    }
  }
  return Object.fromEntries(
    Object.entries(parts).map(([name, list]) => [name, Float32Array.from(list.flatMap((p) => [...p]))]),
  ) as Columns<Name>;
}
