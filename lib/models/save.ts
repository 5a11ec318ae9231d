import { copyFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { DType } from "../core/dtype.ts";
import { ConfigError } from "../core/errors.ts";
import { checkOneOf, refuseUnknown } from "../core/options.ts";
import { writeFolderAtomically } from "../io/atomic.ts";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors.ts";
import type { ModelConfig } from "./config.ts";
import { kRouterBias, type Model } from "./model.ts";

/** Files of a model folder that are not weights: carried over from where the model was loaded. */
const companions = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "generation_config.json",
  "chat_template.jinja",
];

type DiskDType = "F32" | "BF16" | "F16";
const formats = { F32: "f32", BF16: "bf16", F16: "f16" } as const;

export interface SaveOptions {
  /** A folder whose tokenizer goes along. Default: the one the model came from. */
  tokenizerFrom?: string;
  /**
   * Number format of all weights. Default: each as it was loaded. Small changes to weights that came as bf16 or f16 vanish in the
   * rounding; "f32" keeps them.
   */
  dtype?: DType;
}

/**
 * Writes a Hugging Face model folder: the same names, shapes, number formats (or `dtype`) and shards that were loaded (a created
 * model: its own format, one file), config.json, and the tokenizer's files from the folder it came from, or from `tokenizerFrom`.
 * Written beside and moved into place at the end: a full disk or a crash leaves what was there. An attached adapter is
 * not part of it: merge it first. Biases of routers go along, always in f32; as transformers' class of such a model doesn't
 * read them, a Node warning says so, and one if the folder it came from is gone. Throws ConfigError while an adapter is
 * attached and not merged.
 */
export async function saveModel(model: Model, dir: string, options: SaveOptions = {}): Promise<void> {
  refuseUnknown("saveModel", options, ["tokenizerFrom", "dtype"]);
  if (options.dtype !== undefined) checkOneOf("saveModel", "dtype", options.dtype, ["f32", "bf16"]);
  const { adapter, origin, config } = model;
  if (adapter !== undefined && !adapter.isMerged) {
    throw new ConfigError(
      "saveModel: the model has an adapter attached; merge it, save it with saveAdapter, or dispose it",
      "adapter",
    );
  }
  const own: DiskDType = model.dtype === "bf16" ? "BF16" : "F32";
  const asked = { f32: "F32", bf16: "BF16", i32: undefined } as const;
  const dtypeOf = (name: string): DiskDType =>
    (options.dtype && asked[options.dtype]) ?? (origin?.dtypes.get(name) as DiskDType | undefined) ?? own;
  const shardOf = (name: string): string => origin?.shards?.get(name) ?? "model.safetensors";
  const byShard = new Map<string, TensorToWrite[]>();
  let total = 0;
  for (const [name, tensor] of Object.entries({ ...model.params, ...model.routerBias })) {
    const dtype = name in model.routerBias ? "F32" : dtypeOf(name); // steps of the bias would vanish in bf16
    const shard = shardOf(name);
    total += tensor.size * (dtype === "F32" ? 4 : 2);
    byShard.set(shard, [
      ...(byShard.get(shard) ?? []),
      { name, dtype, shape: tensor.shape, bytes: () => tensor.bytesData(formats[dtype]) },
    ]);
  }
  if (Object.keys(model.routerBias).length > 0) warnOfRouterBias(dir, config);
  const source = options.tokenizerFrom ?? origin?.dir;
  const present = source === undefined ? [] : await filesIn(source, options.tokenizerFrom === undefined);
  await writeFolderAtomically(
    dir,
    async (temporary) => {
      for (const [shard, tensors] of byShard) {
        await writeSafetensors(path.join(temporary, shard), tensors, { format: "pt" });
      }
      if (origin?.shards) await writeJson(temporary, "model.safetensors.index.json", indexOf(byShard, total));
      await writeFile(path.join(temporary, "config.json"), configText(withDType(config.raw, options.dtype)));
      for (const file of companions) {
        if (present.includes(file)) await copyFile(path.join(source!, file), path.join(temporary, file));
      }
    },
    (file) => /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/.test(file),
  );
}

function warnOfRouterBias(dir: string, { modelType }: ModelConfig): void {
  process.emitWarning(
    `saveModel: ${dir} holds biases of the routers (${kRouterBias.slice(1)}), which choose experts here; transformers' ${modelType} has none` +
      " and would choose others, with a higher loss",
  );
}

/** The weights are worth more than the folder they came from: that may be gone by now. */
async function filesIn(dir: string, mayBeGone: boolean): Promise<string[]> {
  return readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" || !mayBeGone) throw error;
    process.emitWarning(`saveModel: ${dir}, where the model came from, is gone; saved without a tokenizer`);
    return [];
  });
}

const writeJson = (dir: string, file: string, value: unknown): Promise<void> =>
  writeFile(path.join(dir, file), `${JSON.stringify(value, null, 2)}\n`);

/** Says the format that was asked for, under the name that the config has it. */
function withDType(raw: Readonly<Record<string, unknown>>, dtype: DType | undefined) {
  if (dtype === undefined) return raw;
  const key = "torch_dtype" in raw ? "torch_dtype" : "dtype";
  return { ...raw, [key]: dtype === "f32" ? "float32" : "bfloat16" };
}

/** transformers 5 refuses an integer where a field is a float, and JSON.stringify writes 0.0 as 0. */
const configText = (raw: Readonly<Record<string, unknown>>): string =>
  `${JSON.stringify(raw, null, 2)}\n`.replace(
    /^( {2}"(?:clip_qkv|initializer_range|rms_norm_eps|router_aux_loss_coef|router_jitter_noise)": -?\d+)(,?)$/gm,
    "$1.0$2",
  );

const indexOf = (byShard: Map<string, TensorToWrite[]>, total: number): unknown => ({
  metadata: { total_size: total },
  weight_map: Object.fromEntries(
    [...byShard]
      .flatMap(([shard, tensors]) => tensors.map(({ name }) => [name, shard] as const))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  ),
});
