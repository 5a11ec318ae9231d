import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { minhash } from "../../data/dedup/minhash.ts";
import { pipeline } from "../../data/pipeline.ts";
import { jsonlFiles } from "../../data/readers/input_files.ts";
import { jsonl as readJsonl } from "../../data/readers/jsonl.ts";
import { jsonl as writeJsonl } from "../../data/writers/jsonl.ts";
import type { VariantDedup } from "./chosen_steps.ts";

interface RunOptions {
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The documents of `<folder>/texts` without near-duplicates: those files themselves for "none", else what MinHash writes to
 * `<folder>/global`, or to a folder of `<folder>/by-<word>/kept` for each value.
 */
export async function withoutDuplicates(
  folder: string,
  dedup: VariantDedup,
  run: RunOptions,
): Promise<{ files: string[]; duplicates: number }> {
  const texts = path.join(folder, "texts");
  if (dedup === "none") return { files: await jsonlFiles("pipelineVariants", texts), duplicates: 0 };
  if (dedup === "global") return deduplicated(texts, path.join(folder, "global"), run);
  const own = path.join(folder, `by-${encodeURIComponent(dedup.by)}`);
  const parts = path.join(own, "parts");
  await pipeline([readJsonl(texts), writeJsonl(parts, { splitBy: dedup.by })]).run({
    ...run,
    state: path.join(own, "state"),
  });
  // Without documents there is no value either.
  if (!existsSync(parts)) return withoutDuplicates(folder, "none", run);
  const files: string[] = [];
  let duplicates = 0;
  for (const value of readdirSync(parts).sort()) {
    const of = await deduplicated(path.join(parts, value), path.join(own, "kept", value), run);
    files.push(...of.files);
    duplicates += of.duplicates;
  }
  return { files, duplicates };
}

async function deduplicated(input: string, output: string, { workers = 1, signal }: RunOptions) {
  const { read, kept } = await minhash({ input, output }).run({ workers, ...(signal && { signal }) });
  return { files: await jsonlFiles("pipelineVariants", output), duplicates: read - kept };
}
