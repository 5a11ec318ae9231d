import { readFile } from "node:fs/promises";
import path from "node:path";
import { type Device, requireDevice } from "../core/device.ts";
import type { DType } from "../core/dtype.ts";
import { ConfigError, FormatError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { type CheckpointFiles, openTensors } from "../io/checkpoint_files.ts";
import { isObject, parseJson } from "../io/json.ts";
import { readTextIfThere } from "../io/read_text.ts";
import { systemReason } from "../io/system_error.ts";
import { parseModelConfig } from "./config.ts";
import { buildModel } from "./decoder.ts";
import { kRouterBias, type Model } from "./model.ts";

export interface LoadOptions {
  device: Device;
  /** Format in memory. Default f32, whatever the files hold. */
  dtype?: DType;
}

const sources: Readonly<Record<string, "f32" | "bf16" | "f16">> = { F32: "f32", BF16: "bf16", F16: "f16" };

/**
 * Loads a Hugging Face model folder: config.json in its old and new style, safetensors single or sharded, f32, bf16 or f16
 * on disk. Throws FormatError for broken files and for tensors that are missing, left over or of another shape than the
 * config says, ConfigError for a model type or feature this build doesn't have.
 */
export async function loadModel(dir: string, options: LoadOptions): Promise<Model> {
  refuseUnknown("loadModel", options ?? {}, ["device", "dtype"]);
  requireDevice("loadModel", options);
  const { device, dtype = "f32" } = options;
  if (dtype !== "f32" && dtype !== "bf16")
    throw new ConfigError(`loadModel: dtype "${dtype}", f32 or bf16 was needed`, "dtype");
  const model = buildModel(parseModelConfig(await readConfigFile(dir)), device, dtype);
  try {
    const files = await openTensors(dir);
    try {
      await fill(model, files);
    } finally {
      await files.close();
    }
    await device.ready();
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}

/** The object in a folder's config.json. Throws FormatError if there is none. */
export async function readConfigFile(dir: string): Promise<Record<string, unknown>> {
  const file = path.join(dir, "config.json");
  const raw = parseJson(await readText(file), file);
  if (!isObject(raw)) throw new FormatError(`loadModel: ${file} holds no JSON object`, file);
  return raw;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new FormatError(
      `loadModel: ${file} can't be read (${systemReason(error as NodeJS.ErrnoException)}), a Hugging Face model folder was needed`,
      file,
    );
  }
}

/** As the tokenizer of the same folder takes them. */
async function readEosIds(dir: string, { config }: Model): Promise<readonly number[]> {
  const file = path.join(dir, "generation_config.json");
  const raw = parseJson((await readTextIfThere(file)) ?? "{}", file);
  if (!isObject(raw)) throw new FormatError(`loadModel: ${file} holds no JSON object`, file);
  const ids = [raw.eos_token_id ?? config.eosTokenId].flat();
  return ids.filter((id): id is number => typeof id === "number" && id >= 0);
}

async function fill(model: Model, files: CheckpointFiles): Promise<void> {
  if ([...files.tensors.keys()].some((name) => name.endsWith(kRouterBias))) model.addRouterBias();
  const params = { ...model.params, ...model.routerBias };
  const missing = Object.keys(params).filter((name) => !files.tensors.has(name));
  if (missing.length > 0) {
    throw new FormatError(
      `loadModel: ${files.dir} lacks ${missing.length} of the ${Object.keys(params).length} tensors its config.json asks for, first ${missing[0]}`,
      files.dir,
    );
  }
  const extra = [...files.tensors.keys()].filter((name) => !(name in params) && !ignorable(name, model));
  if (extra.length > 0) {
    throw new FormatError(
      `loadModel: ${files.dir} holds ${extra.length} tensors that its config.json has no place for, first ${extra[0]}`,
      files.dir,
    );
  }
  for (const [name, tensor] of Object.entries(params)) {
    const entry = files.tensors.get(name)!;
    const from = sources[entry.dtype];
    if (from === undefined) {
      throw new FormatError(
        `loadModel: ${name} is stored as ${entry.dtype}; this build reads F32, BF16 and F16`,
        files.dir,
      );
    }
    if (String(entry.shape) !== String(tensor.shape)) {
      throw new FormatError(
        `loadModel: ${name} is [${entry.shape.join(", ")}] in ${entry.shard}, config.json asks for [${tensor.shape.join(", ")}]`,
        files.dir,
      );
    }
    tensor.write(await files.read(name), from);
  }
  model.origin = {
    dir: files.dir,
    dtypes: new Map([...files.tensors].map(([name, { dtype }]) => [name, dtype])),
    eosTokenIds: await readEosIds(files.dir, model),
    shards: files.sharded ? new Map([...files.tensors].map(([name, { shard }]) => [name, shard])) : undefined,
  };
}

// Old checkpoints carry what is computed from the config, and a head that the config ties to the embedding.
const ignorable = (name: string, model: Model): boolean =>
  name.endsWith(".rotary_emb.inv_freq") || (name === "lm_head.weight" && model.config.tieWordEmbeddings);
