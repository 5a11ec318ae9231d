import { availableParallelism } from "node:os";
import path from "node:path";
import { z } from "zod";
import type { Writer } from "../data/step.ts";
import { type PipelineReport, pipeline, readPipelineFile, shareOf } from "../index.ts";
import { showTasks } from "./data_progress.ts";
import { writeDataReport } from "./data_report.ts";
import { onInterrupt } from "./interrupt.ts";
import { command, filePath, jsonOption, UsageError } from "./options.ts";
import { note, printJson, printTable, program } from "./output.ts";

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
    const interrupt = onInterrupt("Stopping. Tasks that are through stay. Once more to stop at once.");
    const progress = showTasks(json);
    let report: PipelineReport;
    try {
      const { signal } = interrupt;
      const onProgress = progress.show;
      report = await pipeline(steps).run({ ...rest, state, workers, share, signal, onProgress });
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      progress.end();
      note(`Stopped. Go on: ${program()} data run ${file}${flags.state ? ` --state ${flags.state}` : ""}`);
      process.exitCode = 130;
      return;
    } finally {
      progress.end();
      interrupt.end();
    }
    if (page !== undefined) {
      const descriptions = steps.map(({ description }) => description);
      const kept = steps.find((step): step is Writer => "rejected" in step && step.rejected !== undefined);
      const rejected = rest.rejected ?? kept?.rejected;
      await writeDataReport(page, path.basename(file), report, { steps: descriptions, rejected });
    }
    if (json) printJson(report);
    else print(report);
    if (page !== undefined) note(`report in ${page}`);
  },
});

function print({ read, kept, steps, counts, tasks, seconds, bytes }: PipelineReport): void {
  const share = read === 0 ? "" : ` (${((100 * kept) / read).toFixed(1)} %)`;
  const rate =
    seconds > 0 && tasks.run > 0 && tasks.skipped === 0 ? `, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s` : "";
  printTable([
    ["read", `${read} documents${rate}`],
    ["kept", `${kept}${share}`],
    ...Object.entries(steps).flatMap(([step, { dropped }]) =>
      Object.entries(dropped).map(([reason, n]) => [`${step} ${reason}`, n] as const),
    ),
    ...Object.entries(counts),
    [
      "tasks",
      `${tasks.run} run, ${tasks.skipped} through before${tasks.elsewhere > 0 ? `, ${tasks.elsewhere} left to other processes` : ""}`,
    ],
  ]);
}
