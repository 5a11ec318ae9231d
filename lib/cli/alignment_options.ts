import { z } from "zod";
import {
  type Device,
  loadModel,
  loadTokenizer,
  type Model,
  packPairs,
  readPairs,
  type Tokenizer,
} from "../index.ts";
import { adapterOptions } from "./adapter_options.ts";
import { filePath, UsageError } from "./options.ts";
import { noteRows } from "./rows_note.ts";
import { runOptions, validationOf, validationOptions } from "./training.ts";

/** What every alignment trainer takes, besides its data. */
export const alignmentOptions = {
  model: filePath().describe("model folder"),
  ...adapterOptions,
  shuffle: z.boolean().default(true).describe("another order in each epoch"),
  auxLossCoef: z.number().min(0).default(0).describe("weight of the load-balancing loss"),
  auxLoss: z.enum(["hf", "switch"]).default("hf").describe("convention of the load-balancing loss"),
  zLossCoef: z.number().min(0).default(0).describe("weight of the router z-loss"),
  ...runOptions,
};

/** What trainers on rows of preferences take. */
export const preferenceOptions = {
  ...alignmentOptions,
  maxLength: z
    .int()
    .min(2)
    .optional()
    .describe(
      "most tokens of a prompt and its completion: longer completions lose their end; default: the model's context",
    ),
  ...validationOptions,
};

export const pairsOption = {
  data: filePath().describe("pairs, .jsonl or .parquet: prompt, chosen and rejected"),
  batchSize: z.int().min(1).default(8).describe("pairs of a batch"),
};

export const referenceOption = {
  reference: filePath()
    .optional()
    .describe(
      "folder of the model to stay near to; default: the model without its adapter, or as it is at the start",
    ),
};

/** The options of a trainer that are all flags by the same name. */
export function pick<T extends object, K extends keyof T>(given: T, ...keys: K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, given[key]])) as Pick<T, K>;
}

/** Most tokens of a row: of the flag, and of the model. */
export function maxLengthOf(command: string, maxLength: number | undefined, model: Model): number {
  const most = model.config.maxPositionEmbeddings;
  if (maxLength === undefined || maxLength <= most) return maxLength ?? most;
  throw new UsageError(`${command}: --max-length is ${maxLength}, at most the model's ${most} was needed`);
}

interface PairFiles {
  data: string;
  batchSize: number;
  maxLength?: number | undefined;
  validation?: string | undefined;
  validateEvery?: number | undefined;
  steps: number;
}

/** The pairs of `--data` and those of `--validation`; tells which rows were cut or left out. */
export async function openPairs(command: string, given: PairFiles, model: Model, tokenizer: Tokenizer) {
  const maxLength = maxLengthOf(command, given.maxLength, model);
  const read = async (file: string, what: string) => {
    const rows = await readPairs(file, { tokenizer, maxLength });
    noteRows(what, rows.pairs, rows, maxLength);
    return rows;
  };
  const data = await read(given.data, "pairs");
  const validation = await validationOf(given, async (file) =>
    packPairs((await read(file, "pairs of --validation")).pairs, given.batchSize),
  );
  return { data, validation, maxLength };
}

/** The model of `--reference`, if there is one. Throws UsageError for one with other tokens. */
export async function openReference(
  { reference, dtype }: { reference?: string | undefined; dtype: "f32" | "bf16" },
  { device, tokenizer }: { device: Device; tokenizer: Tokenizer },
): Promise<{ reference?: Model }> {
  if (reference === undefined) return {};
  await requireSameTokens("--reference", reference, tokenizer);
  return { reference: await loadModel(reference, { device, dtype }) };
}

/** What tokenizers cut differently, if they are different. */
const kProbe = "The 3 quick-brown foxes’ naïve über-plan: x = {a_1: 0.25}; 東京, déjà vu!\n\t  End.";

/** Throws UsageError for a model that would take the policy's token ids for other words. */
export async function requireSameTokens(flag: string, dir: string, tokenizer: Tokenizer): Promise<void> {
  const other = await loadTokenizer(dir);
  const sizes = [other.vocabSize, tokenizer.vocabSize];
  const same = sizes[0] === sizes[1] && other.encode(kProbe).join() === tokenizer.encode(kProbe).join();
  if (same) return;
  throw new UsageError(
    `${flag}: the tokenizer of ${dir} (${sizes[0]} tokens) is not that of ${tokenizer.dir} (${sizes[1]}), the same was needed`,
  );
}
