import { availableParallelism } from "node:os";
import path from "node:path";
import { z } from "zod";
import type { Writer } from "../data/step.ts";
import { pipeline, readPipelineFile, shareOf } from "../index.ts";
import { printCounts } from "./data_counts.ts";
import { showTasks } from "./data_progress.ts";
import { writeDataReport } from "./data_report.ts";
import { untilInterrupted } from "./interrupt.ts";
import { command, filePath, jsonOption, UsageError } from "./options.ts";
import { note, printJson } from "./output.ts";

export default command({
  argument: "pipeline",
  options: z.strictObject({
    pipeline: filePath().describe("YAML file with the steps"),
    workers: z.int().min(1).optional().describe("tasks at once, each on a thread (default: one a core)"),
    tasks: z.int().min(1).optional().describe("shares of the input files (default: one for each file)"),
    state: filePath()
      .optional()
      .describe("folder that remembers which tasks are through; needed here or in the file"),
    rejected: filePath().optional().describe("folder to keep dropped documents in, by step and reason"),
    report: filePath()
      .optional()
      .describe("HTML file: what went where and why, with examples (of dropped ones where they are kept)"),
    ...jsonOption,
  }),
  run: async ({ pipeline: file, report: page, json, ...flags }) => {
    const { steps, settings } = await readPipelineFile(file);
    const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
    const { state, workers = availableParallelism(), ...rest } = { ...settings, ...given } as typeof settings;
    if (state === undefined)
      throw new UsageError("data run: --state needed and not given, nor state in the pipeline file");
    const share = shareOf(process.env);
    if (share.of > 1) note(`process ${share.rank} of ${share.of}`);
    const progress = showTasks(json);
    const remark = "Stopping. Tasks that are through stay. Once more to stop at once.";
    const goOn = `data run ${file}, with the same flags`;
    const report = await untilInterrupted({ remark, goOn }, (signal) =>
      pipeline(steps)
        .run({ ...rest, state, workers, share, signal, onProgress: progress.show })
        .finally(progress.end),
    );
    if (report === undefined) return;
    if (page !== undefined) {
      const folders = (name: string): string[] =>
        steps.flatMap(({ description: { step, options } }) => (step === name ? [String(options.dir)] : []));
      const kept = steps.find((step): step is Writer => "rejected" in step && step.rejected !== undefined);
      await writeDataReport(page, path.basename(file), report, {
        stats: folders("stats.histograms"),
        kept: folders("write.jsonl").at(-1),
        rejected: rest.rejected ?? kept?.rejected,
      });
    }
    if (json) printJson(report);
    else printCounts(report);
    if (page !== undefined) note(`report in ${page}`);
  },
});
