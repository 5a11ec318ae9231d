import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { Tensor } from "../../lib/core/tensor.ts";
import type { InputFile } from "../peers/peer.ts";

const [blocks, block] = [256, 4096];

/** Of a large tensor blocks that spread evenly, else all of it: `sample` in peer_judge.py takes the same. */
export async function samplesOf(tensor: Tensor): Promise<Float32Array | Int32Array> {
  const n = tensor.size;
  if (n <= blocks * block) return tensor.data();
  const reads = Array.from({ length: blocks }, (_, i) => {
    const view = tensor.view([block], Math.floor(((n - block) * i) / (blocks - 1)));
    const read = view.data();
    view.dispose();
    return read;
  });
  const all = new Float32Array(blocks * block);
  for (const [i, part] of (await Promise.all(reads)).entries()) all.set(part, i * block);
  return all;
}

/** Files with samples of the results, for the peer to judge. */
export async function resultFiles(
  results: <R>(read: (tensor: Tensor) => Promise<R>) => Promise<R[][]>,
  folder: string,
): Promise<InputFile[][]> {
  const groups = await results(samplesOf);
  return Promise.all(
    groups.map((group, g) =>
      Promise.all(
        group.map(async (data, i): Promise<InputFile> => {
          const file = path.join(folder, `result-${g}-${i}`);
          await writeFile(file, data);
          return { file, shape: [data.length], dtype: data instanceof Int32Array ? "i32" : "f32" };
        }),
      ),
    ),
  );
}
