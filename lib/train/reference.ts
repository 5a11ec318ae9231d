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

interface InitialOptions {
  pairs: readonly Pair[];
  /** Validation batches, by set. */
  sets: Readonly<Record<string, readonly PairBatch[]>>;
  batchSize: number;
  pass: Pass<PairBatch>;
  /** Where the numbers are kept: a run that is resumed reads them, as the model has changed by then. */
  dir: string | undefined;
  /** What the numbers depend on: pairs and settings. */
  key: string;
}

/**
 * The model's summed log-probabilities as it is now, computed once: of each batch of the pairs, and of the validation batches, [2P],
 * the chosen ones first. Throws FormatError for a file of other pairs.
 */
export async function initialReference(
  model: Model,
  { pairs, sets, batchSize, pass, dir, key }: InitialOptions,
): Promise<(batch: PairBatch) => Float32Array> {
  const lists = { pairs: packPairs(pairs, batchSize), ...renamed("validation.", sets) };
  const file = dir === undefined ? undefined : path.join(dir, "reference.safetensors");
  const known =
    file !== undefined && existsSync(file)
      ? await readReference(file, key, Object.keys(lists))
      : await measure(model, lists, pass);
  if (file !== undefined) await writeReference(file, key, known);
  const [chosen, rejected] = [new Float32Array(pairs.length), new Float32Array(pairs.length)];
  const validation = new Map<PairBatch, Float32Array>();
  for (const [name, batches] of Object.entries(lists)) {
    let at = 0;
    for (const batch of batches) {
      const P = batch.pairs.length;
      const values = known[name]!.subarray(at, at + 2 * P);
      at += 2 * P;
      if (name !== "pairs") validation.set(batch, values);
      else {
        batch.pairs.forEach((pair, i) => {
          chosen[pair] = values[i]!;
          rejected[pair] = values[P + i]!;
        });
      }
    }
  }
  return (batch) =>
    validation.get(batch) ??
    Float32Array.from([...batch.pairs.map((p) => chosen[p]!), ...batch.pairs.map((p) => rejected[p]!)]);
}

const renamed = <T>(prefix: string, record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [prefix + name, value]));

async function measure(
  model: Model,
  lists: Readonly<Record<string, readonly PairBatch[]>>,
  pass: Pass<PairBatch>,
): Promise<Record<string, Float32Array>> {
  const known: Record<string, Float32Array> = {};
  for (const [name, batches] of Object.entries(lists)) {
    const values: number[] = [];
    for (const batch of batches) {
      const sums = withoutGrad(() => scope(() => pass(model, batch)));
      try {
        values.push(...(await sums.data()));
      } finally {
        sums.dispose();
      }
    }
    known[name] = Float32Array.from(values);
  }
  return known;
}

async function writeReference(
  file: string,
  key: string,
  known: Readonly<Record<string, Float32Array>>,
): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const entries = Object.entries(known).map(([name, values]) => ({
    name,
    dtype: "F32" as const,
    shape: [values.length],
    bytes: async () => new Uint8Array(values.buffer),
  }));
  await writeSafetensors(file, entries, { key });
}

async function readReference(
  file: string,
  key: string,
  names: readonly string[],
): Promise<Record<string, Float32Array>> {
  const open = await openSafetensors(file);
  try {
    if (open.metadata.key !== key) {
      throw new FormatError(
        `${file}: it belongs to a run with other pairs or settings. Start in another folder`,
        file,
      );
    }
    const known: Record<string, Float32Array> = {};
    for (const name of names) known[name] = new Float32Array((await open.read(name)).buffer);
    return known;
  } finally {
    await open.close();
  }
}
