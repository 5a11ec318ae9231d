import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { ConfigError, FormatError } from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { openSafetensors, writeSafetensors } from "../io/safetensors.ts";
import type { Model } from "../models/model.ts";
import { type PairBatch, packPairs } from "../text/alignment_batches.ts";
import type { Pair } from "../text/alignment_rows.ts";
import type { TokenBatch } from "../text/token_batch.ts";
import { Snapshot } from "./snapshot.ts";

/**
 * What the policy is held near to: a second model; the model without its adapter (`adapter.off`); or "initial", the model
 * as it is when training starts.
 */
export type Reference = Model | (() => void) | "initial";

/** What a pass over a batch measures without a gradient: log-probabilities, or [2P] sums of them. */
type Pass<B extends TokenBatch> = (model: Model, batch: B) => Tensor;

/** How the reference's numbers for a batch are had, as part of a step. */
export interface ReferencePass<B extends TokenBatch> {
  run(batch: B): Tensor;
  /** The parameters as they were, for "initial": part of a checkpoint. The caller disposes it. */
  snapshot?: Snapshot;
}

/**
 * Runs `pass` on the reference. Throws ConfigError for a model on another device, or the very model that trains, and for a
 * function without an adapter that it could turn off.
 */
export function referencePass<B extends TokenBatch>(
  name: string,
  model: Model,
  params: Readonly<Record<string, Tensor>>,
  reference: Reference,
  pass: Pass<B>,
): ReferencePass<B> {
  const refuse = (what: string, needed: string): never => {
    throw new ConfigError(`${name}: ${what}, ${needed} was needed`, "reference");
  };
  if (reference === "initial") {
    const snapshot = new Snapshot(params);
    return { run: (batch) => snapshot.during(() => pass(model, batch)), snapshot };
  }
  if (typeof reference === "function") {
    const { adapter } = model;
    if (!adapter) return refuse("reference is a function and the model has no adapter", "adapter.off of one");
    return {
      run: (batch) => {
        reference();
        try {
          return withoutGrad(() => scope(() => pass(model, batch)));
        } finally {
          adapter.on();
        }
      },
    };
  }
  if (typeof reference !== "object" || !("device" in reference))
    return refuse(`reference is ${String(reference)}`, 'a model, adapter.off or "initial"');
  if (reference === model)
    refuse("reference is the model that trains", 'adapter.off, a second model or "initial"');
  if (reference.device !== model.device)
    refuse("the reference lives on another device than the model", "one");
  return { run: (batch) => withoutGrad(() => scope(() => pass(reference, batch))) };
}

/** Without a reference given: the model without its adapter, or as it is at the start. */
export const defaultReference = (model: Model): Reference => model.adapter?.off ?? "initial";

/** Log-probabilities of all pairs, computed once: [N] each. */
export interface PairReference {
  chosen: Float32Array;
  rejected: Float32Array;
}

interface InitialOptions {
  batchSize: number;
  pass: Pass<PairBatch>;
  dir: string | undefined;
  /** What the numbers depend on: pairs and settings. */
  key: string;
}

/**
 * The model's summed log-probabilities of all pairs. With `dir`, they are kept there, and read from there when a run is
 * resumed: by then the model has changed. Throws FormatError for a file of other pairs.
 */
export async function initialReference(
  model: Model,
  pairs: readonly Pair[],
  { batchSize, pass, dir, key }: InitialOptions,
): Promise<PairReference> {
  const file = dir === undefined ? undefined : path.join(dir, "reference.safetensors");
  if (file !== undefined && existsSync(file)) return readReference(file, key, ["chosen", "rejected"]);
  const reference = { chosen: new Float32Array(pairs.length), rejected: new Float32Array(pairs.length) };
  for (const batch of packPairs(pairs, batchSize)) {
    const values = await sumsOf(model, batch, pass);
    batch.pairs.forEach((pair, i) => {
      reference.chosen[pair] = values[i]!;
      reference.rejected[pair] = values[batch.pairs.length + i]!;
    });
  }
  if (file !== undefined) await writeReference(file, key, reference);
  return reference;
}

/**
 * The same of batches that validate, which count pairs of their own: [2P] for each. Kept in a file beside, and read from there
 * when a run is resumed.
 */
export async function initialValidation(
  model: Model,
  batches: readonly PairBatch[],
  { pass, dir, key }: Omit<InitialOptions, "batchSize">,
): Promise<ReadonlyMap<PairBatch, Float32Array>> {
  if (batches.length === 0) return new Map();
  const file = dir === undefined ? undefined : path.join(dir, "reference_validation.safetensors");
  const starts = [0];
  for (const { pairs } of batches) starts.push(starts.at(-1)! + 2 * pairs.length);
  let sums: Float32Array;
  if (file !== undefined && existsSync(file)) ({ sums } = await readReference(file, key, ["sums"]));
  else {
    sums = new Float32Array(starts.at(-1)!);
    for (const [i, batch] of batches.entries()) sums.set(await sumsOf(model, batch, pass), starts[i]!);
    if (file !== undefined) await writeReference(file, key, { sums });
  }
  return new Map(batches.map((batch, i) => [batch, sums.subarray(starts[i]!, starts[i + 1]!)]));
}

async function sumsOf(model: Model, batch: PairBatch, pass: Pass<PairBatch>): Promise<Float32Array> {
  const sums = withoutGrad(() => scope(() => pass(model, batch)));
  try {
    return (await sums.data()) as Float32Array;
  } finally {
    sums.dispose();
  }
}

/** The reference of a batch's documents, [2P]: those of the chosen, then those of the rejected. */
export function referenceOf(batch: PairBatch, { chosen, rejected }: PairReference): Float32Array {
  return Float32Array.from([...batch.pairs.map((p) => chosen[p]!), ...batch.pairs.map((p) => rejected[p]!)]);
}

async function writeReference(
  file: string,
  key: string,
  columns: { readonly [name: string]: Float32Array } | PairReference,
): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const entries = Object.entries(columns).map(([name, values]: [string, Float32Array]) => ({
    name,
    dtype: "F32" as const,
    shape: [values.length],
    bytes: async () => new Uint8Array(values.buffer),
  }));
  await writeSafetensors(file, entries, { key });
}

async function readReference<Name extends string>(
  file: string,
  key: string,
  names: readonly Name[],
): Promise<Record<Name, Float32Array>> {
  const open = await openSafetensors(file);
  try {
    if (open.metadata.key !== key) {
      throw new FormatError(
        `${file}: it belongs to a run with other pairs or settings. Start in another folder`,
        file,
      );
    }
    const columns = {} as Record<Name, Float32Array>;
    for (const name of names) columns[name] = new Float32Array((await open.read(name)).buffer);
    return columns;
  } finally {
    await open.close();
  }
}
