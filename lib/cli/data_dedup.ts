import { availableParallelism } from "node:os";
import { z } from "zod";
import { dedup } from "../index.ts";
import { showPhases } from "./data_progress.ts";
import { untilInterrupted } from "./interrupt.ts";
import { command, filePath, jsonOption } from "./options.ts";
import { printJson, printTable } from "./output.ts";

export default command({
  options: z.strictObject({
    input: z
      .array(filePath())
      .min(1)
      .describe(
        "JSONL files, plain, .gz or .zst, or patterns or folders; earlier documents count as the first",
      ),
    out: filePath().describe("folder for what is kept; removed, matches and state lie below it"),
    keep: z.enum(["one", "best", "none"]).default("one").describe("what stays of a cluster"),
    score: z.string().optional().describe("with --keep best: the number in the metadata to go by"),
    index: z.array(filePath()).optional().describe("folders of known signatures: their texts go too"),
    workers: z.int().min(1).optional().describe("threads (default: one a core)"),
    state: filePath().optional().describe("folder that a stopped run goes on from (default: state in --out)"),
    ...jsonOption,
  }),
  run: async ({ input, out, keep, score, index, workers, state, json }) => {
    const run = dedup.minhash({
      input,
      output: out,
      keep,
      ...(score !== undefined && { score }),
      ...(index && { index }),
    });
    const progress = showPhases(json);
    const remark = "Stopping. What is through stays. Once more to stop at once.";
    const report = await untilInterrupted({ remark, goOn: "data dedup, with the same flags" }, (signal) =>
      run
        .run({
          workers: workers ?? availableParallelism(),
          ...(state !== undefined && { state }),
          signal,
          onProgress: (shown) => progress.show({ phase: "dedup", ...shown }),
        })
        .finally(progress.end),
    );
    if (report === undefined) return;
    if (json) printJson(report);
    else printTable([["read", report.read], ["kept", report.kept], ...Object.entries(report.dropped)]);
  },
});
