import path from "node:path";
import { ConfigError, FormatError } from "../../core/errors.ts";
import { checkWhole, refuseUnknown } from "../../core/options.ts";
import { isObject } from "../../io/json.ts";
import { readJsonl } from "../../io/jsonl.ts";
import type { Document } from "../document.ts";
import { type Input, jsonlFiles } from "../readers/input_files.ts";
import type { Step } from "../step.ts";
import { kernelText, textKernels } from "./characters.ts";

export interface DecontaminateOptions {
  /**
   * Evaluation sets (see jsonlFiles). A row has `text`, the answer or the whole text, and may have `query`, what is asked, and
   * `task`, a name; without one the file's name is taken.
   */
  readonly evaluation: Input;
  /** Words that must be the same in a row. Default: 12. */
  readonly ngram?: number;
  /** Whether words of a query alone count. Default: no. */
  readonly queries?: boolean;
}

/**
 * Drops documents that hold `ngram` words of an evaluation set in a row, as normalised text: of a row's text, or of the end of
 * its query and the begin of its text (datatrove, pipeline/decont/n_grams.py). Rows of fewer words find nothing. What is
 * dropped has `contaminated: { ngram, task }` in its metadata. Any number of tasks: each reads the sets.
 */
export function decontaminate(options: DecontaminateOptions): Step {
  refuseUnknown("dedup.decontaminate", options, ["evaluation", "ngram", "queries"]);
  const { evaluation, ngram = 12, queries = false } = options;
  checkWhole("dedup.decontaminate", { ngram }, 1);
  if (evaluation === undefined)
    throw new ConfigError(
      "dedup.decontaminate: evaluation names no files, one at least was needed",
      "evaluation",
    );
  return {
    description: { step: "dedup.decontaminate", options: { ...options } },
    async *run(documents, context) {
      const known = await knownNgrams(await jsonlFiles("dedup.decontaminate", evaluation), ngram, queries);
      for await (const document of documents) {
        const found = foundIn(document, known, ngram);
        if (found === undefined) yield document;
        else {
          const metadata = { ...document.metadata, contaminated: found };
          await context.drop("dedup.decontaminate", `in ${found.task}`, { ...document, metadata });
        }
      }
    },
  };
}

function foundIn(
  { text }: Document,
  known: ReadonlyMap<bigint, string>,
  ngram: number,
): { ngram: string; task: string } | undefined {
  const kernels = textKernels();
  const given = kernelText(text);
  const hashes = kernels.shingleHashes(given, ngram, "xxhash", 64, "english");
  for (const [i, hash] of hashes.entries()) {
    const task = known.get(hash);
    if (task === undefined) continue;
    return {
      ngram: kernels
        .words(given, "english")
        .slice(i, i + ngram)
        .join(" "),
      task,
    };
  }
  return undefined;
}

/** Hashes of the sets' n-grams → the first task that has them. */
async function knownNgrams(
  files: readonly string[],
  ngram: number,
  queries: boolean,
): Promise<Map<bigint, string>> {
  const kernels = textKernels();
  const known = new Map<bigint, string>();
  for (const file of files) {
    const name = path.basename(file).replace(/\.jsonl(\.gz|\.zst)?$/, "");
    for await (const { value, line } of readJsonl(file)) {
      if (!isObject(value) || typeof value.text !== "string")
        throw new FormatError(`${file}:${line}: an object with a string "text" was needed.`, file, line);
      const task = typeof value.task === "string" ? value.task : name;
      const words = kernels.words(kernelText(value.text), "english");
      const query = typeof value.query === "string" ? kernels.words(kernelText(value.query), "english") : [];
      // As many words on either side of the joint as an n-gram over it has.
      const over = [...query.slice(Math.max(0, query.length - ngram + 1)), ...words];
      for (const row of queries ? [query, over] : [over]) {
        for (let i = 0; i + ngram <= row.length; i++) {
          const hash = kernels.hash(row.slice(i, i + ngram).join(" "), "xxhash", 64);
          if (!known.has(hash)) known.set(hash, task);
        }
      }
    }
  }
  return known;
}
