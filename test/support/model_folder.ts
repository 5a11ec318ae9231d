import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Device } from "../../lib/core/device.ts";
import { openTensors } from "../../lib/io/checkpoint_files.ts";
import { type SafetensorsDType, type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors.ts";
import { createModel } from "../../lib/models/create.ts";
import type { Model } from "../../lib/models/model.ts";
import { saveModel } from "../../lib/models/save.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { tempDir } from "./temp_dir.ts";

/** A llama of a few thousand parameters. */
export const tiny = {
  model_type: "llama",
  vocab_size: 24,
  hidden_size: 16,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  initializer_range: 0.3,
};

export interface Content {
  shards: readonly string[];
  tensors: Record<string, { dtype: string; shape: readonly number[]; shard: string; bytes: Uint8Array }>;
}

export async function contentOf(dir: string): Promise<Content> {
  const files = await openTensors(dir);
  const tensors: Content["tensors"] = {};
  for (const [name, { dtype, shape, shard }] of files.tensors)
    tensors[name] = { dtype, shape, shard, bytes: await files.read(name) };
  await files.close();
  return { shards: files.shards, tensors };
}

export const readObject = (dir: string, file: string) =>
  JSON.parse(readFileSync(path.join(dir, file), "utf8"));

/** The same with a hash in place of the bytes, which compares fast. */
export async function digestOf(dir: string): Promise<object> {
  const { shards, tensors } = await contentOf(dir);
  const hashed = Object.entries(tensors).map(([name, { bytes, ...rest }]) => [
    name,
    { ...rest, sha1: sha1(bytes) },
  ]);
  return { shards, tensors: Object.fromEntries(hashed) };
}

const sha1 = (bytes: ArrayBufferView): string =>
  createHash("sha1")
    .update(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    .digest("hex");

/** A copy of a model folder with tensors changed: undefined takes one away. */
export async function changedFolder(
  from: string,
  change: (tensors: Content["tensors"]) => void,
  config: Record<string, unknown> = {},
): Promise<string> {
  const dir = tempDir();
  const { tensors } = await contentOf(from);
  change(tensors);
  const entries = Object.entries(tensors).map(([name, { dtype, shape, bytes }]): TensorToWrite => {
    return { name, dtype: dtype as SafetensorsDType, shape, bytes: async () => bytes };
  });
  await writeSafetensors(path.join(dir, "model.safetensors"), entries, { format: "pt" });
  writeFileSync(
    path.join(dir, "config.json"),
    JSON.stringify({ ...readObject(from, "config.json"), ...config }),
  );
  return dir;
}

export async function logitsOf(model: Model, documents = [[1, 5, 2, 7, 3], [4]]): Promise<Float32Array> {
  const logits = model.logits(packBatch(documents));
  const values = (await logits.data()) as Float32Array;
  logits.dispose();
  return values;
}

/** A hash of each parameter's values. */
export async function paramsOf(model: Model): Promise<Record<string, string>> {
  const entries = Object.entries(model.params).map(
    async ([name, tensor]) => [name, sha1(await tensor.data())] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

/** The folder of a new model. */
export async function createdFolder(dev: Device, config: Record<string, unknown>): Promise<string> {
  const dir = tempDir();
  const model = createModel(config, { device: dev });
  await saveModel(model, dir);
  model.dispose();
  return dir;
}
