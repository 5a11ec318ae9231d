import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { FormatError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { writeFolderAtomically } from "../io/atomic.ts";
import { type CheckpointFiles, openTensors } from "../io/checkpoint_files.ts";
import { isObject, parseJson } from "../io/json.ts";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors.ts";
import type { Model } from "../models/model.ts";
import type { Adapter, AdapterConfig } from "./adapter.ts";
import { buildAdapter } from "./build.ts";
import { type FusedPair, fromOldPeft, fromPeft, toPeft } from "./fused_experts.ts";
import { readPeftConfig, writePeftConfig } from "./peft_config.ts";

const prefix = "base_model.model.";
const formats: Readonly<Record<string, "f32" | "bf16" | "f16">> = { F32: "f32", BF16: "bf16", F16: "f16" };

/**
 * Attaches a PEFT adapter folder (adapter_config.json, adapter_model.safetensors): LoRA, rsLoRA, DoRA, per-expert modules,
 * `target_parameters` of both eras, `modules_to_save`. Throws FormatError for tensors that are missing, left over or of
 * another shape, ConfigError for settings this build doesn't have.
 */
export async function loadAdapter(model: Model, dir: string): Promise<Adapter> {
  const { raw, config } = await readAdapterFile(dir);
  const files = await openTensors(dir, "adapter_model");
  try {
    const adapter = buildAdapter(model, config);
    try {
      await fill(adapter, files, String(raw.peft_version ?? ""));
    } catch (error) {
      adapter.dispose();
      throw error;
    }
    return adapter;
  } finally {
    await files.close();
  }
}

/** The object in a folder's adapter_config.json, and what it says. Throws as loadAdapter does. */
export async function readAdapterFile(
  dir: string,
): Promise<{ raw: Record<string, unknown>; config: AdapterConfig }> {
  const file = path.join(dir, "adapter_config.json");
  const raw = parseJson(await readText(file), file);
  if (!isObject(raw)) throw new FormatError(`loadAdapter: ${file} holds no JSON object`, file);
  return { raw, config: readPeftConfig(raw) };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new FormatError(
      `loadAdapter: ${file} can't be read (${(error as Error).message}), a PEFT adapter folder was needed`,
      file,
    );
  }
}

async function fill(adapter: Adapter, files: CheckpointFiles, peftVersion: string): Promise<void> {
  const keys = Object.keys(adapter.params);
  const missing = keys.filter((key) => !files.tensors.has(prefix + key));
  const known = new Set(keys.map((key) => prefix + key));
  const extra = [...files.tensors.keys()].filter((name) => !known.has(name));
  if (missing.length > 0 || extra.length > 0) {
    const what =
      missing.length > 0
        ? `lacks ${prefix}${missing[0]}`
        : `holds ${extra[0]}, which its config has no place for`;
    throw new FormatError(
      `loadAdapter: ${files.dir} ${what} (${missing.length} missing, ${extra.length} left over of ${keys.length})`,
      files.dir,
    );
  }
  const fused = new Set(adapter.fused.flatMap(({ a, b }) => [a, b]));
  const isMagnitude = ([key]: [string, Tensor]) => key.endsWith(".lora_magnitude_vector");
  const entries = Object.entries(adapter.params).filter(([, tensor]) => !fused.has(tensor));
  for (const [key, tensor] of entries.filter((entry) => !isMagnitude(entry))) await read(key, tensor, files);
  for (const pair of adapter.fused) await fillFused(pair, files, peftVersion);
  adapter.resetMagnitudes(); // for experts beside the targets, which have none in the file
  for (const [key, tensor] of entries.filter(isMagnitude)) await read(key, tensor, files);
}

async function read(key: string, tensor: Tensor, files: CheckpointFiles): Promise<void> {
  const { dtype, shape } = files.tensors.get(prefix + key)!;
  checkShape(key, shape, tensor.shape, files.dir);
  const from = formats[dtype];
  if (from === undefined) {
    throw new FormatError(`loadAdapter: ${key} is stored as ${dtype}; F32, BF16 and F16 are read`, files.dir);
  }
  tensor.write(await files.read(prefix + key), from);
}

async function fillFused(pair: FusedPair, files: CheckpointFiles, peftVersion: string): Promise<void> {
  const [parts, E, half, r] = pair.b.shape as [number, number, number, number];
  const into = pair.a.shape[2]!;
  const out = parts * half;
  const names = [`${prefix}${pair.path}.lora_A.weight`, `${prefix}${pair.path}.lora_B.weight`] as const;
  const found = names.map((name) => files.tensors.get(name)!);
  const old = into === out ? isOld(peftVersion) : found[0]!.shape[1] === out;
  checkShape(names[0], found[0]!.shape, [r * E, old ? out : into], files.dir);
  checkShape(names[1], found[1]!.shape, [old ? into : out, r * E], files.dir);
  if (found.some(({ dtype }) => dtype !== "F32")) {
    throw new FormatError(
      `loadAdapter: ${names[0]} is stored as ${found[0]!.dtype}; fused experts are read as F32`,
      files.dir,
    );
  }
  const [A, B] = await Promise.all(names.map(async (name) => floats(await files.read(name))));
  const current = old ? fromOldPeft(A!, B!, pair) : { A: A!, B: B! };
  const ours = fromPeft(current.A, current.B, pair);
  pair.a.write(ours.a);
  pair.b.write(ours.b);
}

const floats = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** PEFT below 0.19.1. An adapter without a version predates the field, and with it fused experts. */
function isOld(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map((part) => Number.parseInt(part, 10) || 0);
  return major === 0 && (minor < 19 || (minor === 19 && patch < 1));
}

function checkShape(key: string, got: readonly number[], want: readonly number[], dir: string): void {
  if (String(got) === String(want)) return;
  throw new FormatError(
    `loadAdapter: ${key} is [${got.join(", ")}], the model and the config ask for [${want.join(", ")}]`,
    dir,
  );
}

/**
 * Writes a PEFT adapter folder, f32, with PEFT's names: Python's `PeftModel.from_pretrained` reads it. Written beside and
 * moved into place at the end.
 */
export async function saveAdapter(adapter: Adapter, dir: string): Promise<void> {
  const { config, model } = adapter;
  const pairOf = new Map(adapter.fused.map((pair) => [pair.b, pair] as const));
  const tensors = Object.entries(adapter.params).map(([key, tensor]): TensorToWrite => {
    const pair = pairOf.get(tensor);
    const shape = fusedShape(adapter, tensor) ?? tensor.shape;
    const values = async (): Promise<Float32Array> => {
      const data = (await tensor.data()) as Float32Array;
      return pair ? toPeft(data, pair) : data;
    };
    return { name: prefix + key, dtype: "F32", shape, bytes: async () => bytesOf(await values()) };
  });
  const targets = config.targets === "all-linear" ? lastNames(adapter) : config.targets;
  const json = writePeftConfig(config, targets, model.origin?.dir);
  await writeFolderAtomically(dir, async (temporary) => {
    await writeSafetensors(path.join(temporary, "adapter_model.safetensors"), tensors, { format: "pt" });
    await writeFile(path.join(temporary, "adapter_config.json"), `${JSON.stringify(json, null, 2)}\n`);
  });
}

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** PEFT's two-axis shape of a tensor of fused experts. */
function fusedShape(adapter: Adapter, tensor: Tensor): number[] | undefined {
  const pair = adapter.fused.find(({ a, b }) => a === tensor || b === tensor);
  if (pair === undefined) return undefined;
  const [parts, E, out, r] = pair.b.shape as [number, number, number, number];
  return pair.a === tensor ? [E * r, pair.a.shape[2]!] : [parts * out, r * E];
}

const lastNames = (adapter: Adapter): string[] =>
  [
    ...new Set(
      adapter.layers.flatMap(({ layer }) => layer.modules.map((module) => module.split(".").at(-1)!)),
    ),
  ].sort();
