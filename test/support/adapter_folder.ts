import { writeFileSync } from "node:fs";
import path from "node:path";
import { writeSafetensors } from "../../lib/io/safetensors.ts";
import { readTensors, type Tensors } from "./fixture.ts";
import { readJson } from "./oracle.ts";
import { tempDir } from "./temp_dir.ts";

export interface AdapterFolder {
  config: Record<string, unknown>;
  tensors: Tensors;
}

export const readAdapter = async (dir: string): Promise<AdapterFolder> => ({
  config: readJson(dir, "adapter_config.json"),
  tensors: await readTensors(dir, "adapter_model"),
});

/** Writes a PEFT folder of f32 tensors that goes away with the running test. */
export async function writeAdapter({ config, tensors }: AdapterFolder): Promise<string> {
  const dir = tempDir();
  writeFileSync(path.join(dir, "adapter_config.json"), JSON.stringify(config));
  await writeSafetensors(
    path.join(dir, "adapter_model.safetensors"),
    Object.entries(tensors).map(([name, { shape, data }]) => {
      const bytes = new Uint8Array(Float32Array.from(data).buffer);
      return { name, dtype: "F32", shape, bytes: async () => bytes };
    }),
  );
  return dir;
}

/** A changed copy of a PEFT folder. */
export async function changedAdapter(dir: string, change: (folder: AdapterFolder) => void): Promise<string> {
  const folder = await readAdapter(dir);
  change(folder);
  return writeAdapter(folder);
}
