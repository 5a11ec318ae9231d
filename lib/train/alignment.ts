import { createHash } from "node:crypto";
import { ConfigError } from "../core/errors.ts";
import { checkWhole } from "../core/options.ts";
import { withoutDropout } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { AlignmentRow, AlignmentRowOptions } from "../text/alignment_rows.ts";
import type { Dropped } from "../text/encode_rows.ts";
import type { BatchSource, TokenBatch } from "../text/token_batch.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { batchSteps } from "./batch_steps.ts";
import { type TrainOptions, trainKeys, trainLoop, type Work } from "./loop.ts";
import { checkRouterLoss, type RouterLossOptions, routerLossKeys } from "./loss.ts";
import type { StepMetrics } from "./metrics.ts";
import { defaultParams } from "./reference.ts";
import type { Objective } from "./step.ts";

/**
 * What trainers on rows of preferences take. `Read` is what reading the rows gives. An adapter's dropout is off: policy and reference
 * are compared as they are.
 */
export interface AlignmentOptions<B extends TokenBatch, Read> extends TrainOptions<B>, RouterLossOptions {
  /** What trains. Default: an attached adapter's, or else all of the model's parameters. */
  params?: Record<string, Tensor>;
  /** Rows, the path of a `.jsonl` or `.parquet` file of rows, or what reading them gave. */
  data: readonly AlignmentRow[] | string | Read;
  /** Needed for rows. */
  tokenizer?: Tokenizer;
  /** Rows of a batch. Default 8. */
  batchSize?: number;
  /** Another order in each epoch, which `seed` decides. Default true; false: as given. */
  shuffle?: boolean;
  /** Most tokens of a prompt and its completion: longer completions lose their end. Default: the positions of the model. */
  maxLength?: number;
  /** Runs layers again in the backward pass instead of keeping their activations. Default false. */
  recompute?: boolean;
}

/** The keys of AlignmentOptions. */
export const alignmentKeys = [
  ...trainKeys,
  ...routerLossKeys,
  "data",
  "tokenizer",
  "batchSize",
  "shuffle",
  "maxLength",
  "recompute",
] as const;

/** Rows, read; what was read already, as it is. A Node warning tells of rows that were cut or dropped. */
export async function readRows<Read extends { truncated: readonly number[]; dropped: readonly Dropped[] }>(
  name: string,
  options: Pick<AlignmentOptions<TokenBatch, Read>, "data" | "tokenizer" | "maxLength" | "model">,
  reader: (data: string | readonly AlignmentRow[], options: AlignmentRowOptions) => Promise<Read>,
): Promise<Read> {
  const { data, tokenizer, model } = options;
  if (typeof model?.forward !== "function")
    throw new ConfigError(`${name}: model is ${typeof model}, what loadModel gives was needed`, "model");
  if (typeof data !== "string" && !Array.isArray(data) && !(typeof data === "object" && "dropped" in data))
    throw new ConfigError(
      `${name}: data is ${typeof data}, rows, the path of a file of rows or what read them was needed`,
      "data",
    );
  const positions = model.config.maxPositionEmbeddings;
  const { maxLength = positions } = options;
  checkWhole(name, { maxLength }, 1);
  if (maxLength > positions)
    throw new ConfigError(
      `${name}: maxLength is ${maxLength}, the model has ${positions} positions`,
      "maxLength",
    );
  if (typeof data === "object" && "dropped" in data) return data;
  if (!tokenizer) throw new ConfigError(`${name}: data are rows, a tokenizer was needed`, "tokenizer");
  const read = await reader(data, { tokenizer, maxLength });
  const parts: string[] = [];
  const { length: cut, 0: firstCut } = read.truncated;
  if (cut > 0) parts.push(`${cut} rows were cut to ${maxLength} tokens (the first is row ${firstCut})`);
  const [first] = read.dropped;
  if (first)
    parts.push(`${read.dropped.length} were dropped (the first is row ${first.line}: ${first.reason})`);
  if (parts.length > 0) process.emitWarning(`${name}: ${parts.join(", ")}`);
  return read;
}

/** Throws ConfigError, with the first reason, when no row is left. */
export function needRows(
  name: string,
  rows: readonly unknown[],
  dropped: readonly Dropped[],
  least = 1,
): void {
  if (rows.length >= least) return;
  const why = dropped[0] ? ` (row ${dropped[0].line}: ${dropped[0].reason})` : "";
  throw new ConfigError(
    `${name}: ${rows.length} of ${rows.length + dropped.length} rows are left to train on, at least ${least} needed${why}`,
    "data",
  );
}

/** The loop on batches of rows, with an objective of its own. */
export function trainAlignment<B extends TokenBatch, Read>(
  name: string,
  options: AlignmentOptions<B, Read>,
  parts: {
    source: BatchSource<B>;
    objective: Objective<B>;
    state?: Work<B>["state"];
    fingerprint: Record<string, unknown>;
  },
): AsyncGenerator<StepMetrics, void, void> {
  const { auxLossCoef = 0, auxLoss = "hf", zLossCoef = 0, shuffle = true, model } = options;
  const { params = defaultParams(model) } = options;
  checkRouterLoss(name, model, options);
  const { loss, ...rest } = parts.objective;
  const objective = { ...rest, loss: (batch: B, whole: number) => withoutDropout(() => loss(batch, whole)) };
  return trainLoop({
    ...options,
    params,
    name,
    work: batchSteps({ ...options, ...parts, params, objective }),
    fingerprint: { auxLossCoef, auxLoss, zLossCoef, shuffle, ...parts.fingerprint },
  });
}

/** Tells one list of rows from another. */
export function rowsSha256(rows: readonly unknown[]): string {
  const hash = createHash("sha256");
  const plain = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);
  for (const row of rows) hash.update(`${JSON.stringify(row, plain)}\n`);
  return hash.digest("hex");
}
