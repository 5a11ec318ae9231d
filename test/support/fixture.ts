import { existsSync } from "node:fs";
import path from "node:path";
import { openTensors } from "../../lib/io/checkpoint_files.ts";
import { packBatch, type TokenBatch } from "../../lib/text/token_batch.ts";
import { sharedPath } from "./shared_data.ts";

const golden = path.resolve(import.meta.dirname, "../golden");

export type Tensors = Record<string, { shape: readonly number[]; data: number[] }>;

/** Folder of a tiny model with what transformers computes from it: in test/golden, or beside the checkout where present. */
export function hfTiny(family: string): string | undefined {
  const own = path.join(golden, "hf-tiny", family);
  return existsSync(own) ? own : sharedPath(`data/fixtures/hf-tiny/${family}`);
}

/** Folder of adapters made by PEFT on those models, with what PEFT computes from them. */
export const peftTiny = (name: string): string => path.join(golden, "peft-tiny", name);

/** All tensors of `<stem>.safetensors` in a folder, as plain numbers with their shapes. */
export async function readTensors(dir: string, stem: string): Promise<Tensors> {
  const files = await openTensors(dir, stem);
  const tensors: Tensors = {};
  for (const [name, { dtype, shape }] of files.tensors) {
    const { buffer } = await files.read(name);
    const data =
      dtype === "I64" ? Array.from(new BigInt64Array(buffer), Number) : Array.from(new Float32Array(buffer));
    tensors[name] = { shape, data };
  }
  await files.close();
  return tensors;
}

/** The fixture's rows without their padding, and the place of each token among the padded ones. */
export function unpadded(expected: Tensors): { batch: TokenBatch; kept: number[] } {
  const [rows = 0, width = 0] = expected.input_ids!.shape;
  const kept: number[] = [];
  const documents: number[][] = [];
  const learn: boolean[][] = [];
  for (let r = 0; r < rows; r++) {
    const places = Array.from({ length: width }, (_, t) => r * width + t);
    const real = places.filter((at) => expected.attention_mask!.data[at] === 1);
    kept.push(...real);
    documents.push(real.map((at) => expected.input_ids!.data[at]!));
    learn.push(real.map((at) => expected.labels!.data[at] !== -100));
  }
  return { batch: packBatch(documents, learn), kept };
}

/** Rows of a matrix, flattened. */
export const rowsOf = ({ shape, data }: Tensors[string], rows: readonly number[]): number[] => {
  const width = shape.at(-1)!;
  return rows.flatMap((row) => data.slice(row * width, (row + 1) * width));
};
