import { access, readFile } from "node:fs/promises";
import path from "node:path";
import { FormatError } from "../core/errors.ts";
import { isObject, parseJson } from "./json.ts";
import { openSafetensors, type SafetensorsFile, type TensorEntry } from "./safetensors.ts";

/** A tensor of a checkpoint; `shard` is the name of the file that holds it. */
export interface CheckpointTensor extends TensorEntry {
  readonly shard: string;
}

/** The safetensors files of one folder, seen as one; made by openTensors. Close it when all is read. */
export class CheckpointFiles {
  constructor(
    readonly dir: string,
    /** Shard file names, sorted; one for a checkpoint that is not sharded. */
    readonly shards: readonly string[],
    /** True where an index file names the shards. */
    readonly sharded: boolean,
    readonly tensors: ReadonlyMap<string, CheckpointTensor>,
    private readonly files: ReadonlyMap<string, SafetensorsFile>,
  ) {}

  /** `__metadata__` of the first shard. */
  get metadata(): Readonly<Record<string, string>> {
    return this.files.get(this.shards[0]!)?.metadata ?? {};
  }

  /** The bytes of one tensor, in a buffer of its own. */
  async read(name: string): Promise<Uint8Array> {
    const entry = this.tensors.get(name);
    if (!entry)
      throw new FormatError(`${this.dir}: no tensor "${name}" among its ${this.tensors.size}.`, this.dir);
    return this.files.get(entry.shard)!.read(name);
  }

  async close(): Promise<void> {
    await Promise.all([...this.files.values()].map((file) => file.close()));
  }
}

/**
 * Opens `<stem>.safetensors` in `dir`, or else the shards that `<stem>.safetensors.index.json` lists. Only headers are
 * read.
 * @throws FormatError if neither is there, a shard is missing or broken, a tensor of the index is not in its shard, or
 *   a tensor is in two shards.
 */
export async function openTensors(dir: string, stem = "model"): Promise<CheckpointFiles> {
  const single = `${stem}.safetensors`;
  const indexFile = path.join(dir, `${single}.index.json`);
  if (await exists(path.join(dir, single))) return openShards(dir, [single], undefined);
  if (!(await exists(indexFile))) {
    const pickled = (await exists(path.join(dir, "pytorch_model.bin")))
      ? " pytorch_model.bin there is a pickle file, which is not read: save it as safetensors first."
      : "";
    throw new FormatError(`${dir}: neither ${single} nor ${single}.index.json is there.${pickled}`, dir);
  }
  const index = parseJson(await readFile(indexFile, "utf8"), indexFile);
  const weightMap = isObject(index) ? index.weight_map : undefined;
  if (!isObject(weightMap)) throw new FormatError(`${indexFile}: no object "weight_map".`, indexFile);
  for (const [name, shard] of Object.entries(weightMap)) {
    if (typeof shard === "string" && shard !== "" && path.basename(shard) === shard && !shard.includes("\\"))
      continue;
    throw new FormatError(
      `${indexFile}: "${name}" is in ${JSON.stringify(shard)}, which names no file of this folder.`,
      indexFile,
    );
  }
  const named = new Map(Object.entries(weightMap as Record<string, string>));
  return openShards(dir, [...new Set(named.values())].sort(), { file: indexFile, named });
}

async function openShards(
  dir: string,
  shards: string[],
  index: { file: string; named: ReadonlyMap<string, string> } | undefined,
): Promise<CheckpointFiles> {
  const files = new Map<string, SafetensorsFile>();
  const tensors = new Map<string, CheckpointTensor>();
  try {
    for (const shard of shards) {
      const file = path.join(dir, shard);
      if (index && !(await exists(file))) {
        throw new FormatError(`${index.file}: names ${shard}, which is not in the folder.`, index.file);
      }
      const opened = await openSafetensors(file);
      files.set(shard, opened);
      for (const [name, entry] of opened.tensors) {
        const other = tensors.get(name)?.shard;
        if (other) throw new FormatError(`${file}: holds "${name}", which ${other} holds too.`, file);
        tensors.set(name, { ...entry, shard });
      }
    }
    for (const [name, shard] of index?.named ?? []) {
      if (tensors.get(name)?.shard === shard) continue;
      throw new FormatError(`${index!.file}: says that ${shard} holds "${name}", it does not.`, index!.file);
    }
    return new CheckpointFiles(dir, shards, index !== undefined, tensors, files);
  } catch (error) {
    for (const file of files.values()) await file.close();
    throw error;
  }
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
