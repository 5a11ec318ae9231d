// P pairs of a batch
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { ConfigError, FormatError } from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import { openSafetensors, writeSafetensors } from "../io/safetensors.ts";
import type { Model } from "../models/model.ts";
import { type PairBatch, packPairs } from "../text/alignment_batches.ts";
import type { Pair } from "../text/alignment_rows.ts";
import type { Pass } from "./reference.ts";

interface InitialOptions {
  pass: Pass<PairBatch>;
  batchSize: number;
  /** Where the numbers are kept. */
  dir: string | undefined;
  /** Does the run go on with what is there? By then the model has changed. */
  resumes: boolean;
  /** What the numbers depend on: of the pairs, and of the batches that validate. */
  keys: { pairs: string; validation: string };
  signal: AbortSignal | undefined;
}

/**
 * The model's summed log-probabilities of the completions of all pairs, and of batches that validate, as it is now: computed once,
 * and read back by a run that is resumed. Gives those of a batch's documents, [2P]: of the chosen, then of the rejected. Throws
 * FormatError, naming the file, for other pairs, and ConfigError for other validation batches than those the run began with.
 */
export async function initialReference(
  model: Model,
  pairs: readonly Pair[],
  validation: readonly PairBatch[],
  { batchSize, keys, ...how }: InitialOptions,
): Promise<(batch: PairBatch) => Float32Array> {
  const batches = packPairs(pairs, batchSize);
  const sums = await kept(model, batches, { ...how, file: "reference.safetensors", key: keys.pairs });
  const other =
    validation.length === 0
      ? []
      : await kept(model, validation, {
          ...how,
          file: "reference_validation.safetensors",
          key: keys.validation,
        });
  const ofBatch = new Map(validation.map((batch, i) => [batch, other[i]!]));
  const [chosen, rejected] = [new Float32Array(pairs.length), new Float32Array(pairs.length)];
  for (const [i, batch] of batches.entries()) {
    batch.pairs.forEach((pair, k) => {
      chosen[pair] = sums[i]![k]!;
      rejected[pair] = sums[i]![batch.pairs.length + k]!;
    });
  }
  return (batch) =>
    ofBatch.get(batch) ??
    Float32Array.from([...batch.pairs.map((p) => chosen[p]!), ...batch.pairs.map((p) => rejected[p]!)]);
}

interface KeptOptions extends Pick<InitialOptions, "pass" | "dir" | "resumes" | "signal"> {
  file: string;
  key: string;
}

/** The sums of each batch, from the file of a run that goes on, or computed and written there. */
async function kept(
  model: Model,
  batches: readonly PairBatch[],
  { pass, dir, resumes, signal, file: name, key }: KeptOptions,
): Promise<Float32Array[]> {
  const file = dir === undefined ? undefined : path.join(dir, name);
  let all: Float32Array;
  if (file !== undefined && resumes) all = await readReference(file, key);
  else {
    const values: number[] = [];
    for (const batch of batches) {
      signal?.throwIfAborted();
      const sums = withoutGrad(() => scope(() => pass(model, batch)));
      try {
        for (const value of await sums.data()) values.push(value);
      } finally {
        sums.dispose();
      }
    }
    all = Float32Array.from(values);
    if (file !== undefined) await writeReference(file, key, all);
  }
  let at = 0;
  return batches.map(({ pairs }) => {
    at += 2 * pairs.length;
    return all.subarray(at - 2 * pairs.length, at);
  });
}

async function writeReference(file: string, key: string, sums: Float32Array): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const bytes = async () => new Uint8Array(sums.buffer);
  await writeSafetensors(file, [{ name: "sums", dtype: "F32", shape: [sums.length], bytes }], { key });
}

async function readReference(file: string, key: string): Promise<Float32Array> {
  if (!existsSync(file)) {
    throw new ConfigError(
      `resume: ${file} is missing, the log-probabilities of what the run began without. Give the validation sets it began with`,
      "validation",
    );
  }
  const open = await openSafetensors(file);
  try {
    if (open.metadata.key === key) return new Float32Array((await open.read("sums")).buffer);
    throw new FormatError(
      `${file}: it belongs to other pairs, validation sets or settings than this run's. Give those it began with, or start in another folder`,
      file,
    );
  } finally {
    await open.close();
  }
}
