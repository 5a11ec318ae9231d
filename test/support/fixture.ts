import { existsSync } from "node:fs";
import path from "node:path";
import { openTensors } from "../../lib/io/checkpoint_files.ts";
import { sharedPath } from "./shared_data.ts";

const golden = path.resolve(import.meta.dirname, "../golden");

/** Folder of a tiny model with what transformers computes from it: in test/golden, or beside the checkout where present. */
export function hfTiny(family: string): string | undefined {
  const own = path.join(golden, "hf-tiny", family);
  return existsSync(own) ? own : sharedPath(`data/fixtures/hf-tiny/${family}`);
}

/** All tensors of `<stem>.safetensors` in a folder, as plain numbers with their shapes. */
export async function readTensors(
  dir: string,
  stem: string,
): Promise<Record<string, { shape: readonly number[]; data: number[] }>> {
  const files = await openTensors(dir, stem);
  const tensors: Record<string, { shape: readonly number[]; data: number[] }> = {};
  for (const [name, { dtype, shape }] of files.tensors) {
    const { buffer } = await files.read(name);
    const data =
      dtype === "I64" ? Array.from(new BigInt64Array(buffer), Number) : Array.from(new Float32Array(buffer));
    tensors[name] = { shape, data };
  }
  await files.close();
  return tensors;
}
