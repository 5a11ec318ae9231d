import { availableParallelism } from "node:os";
import path from "node:path";
import { z } from "zod";
import { placesIn } from "../data/fineweb.ts";
import { type FinewebOptions, runFineweb, shareOf } from "../index.ts";
import { printCounts } from "./data_counts.ts";
import { showPhases } from "./data_progress.ts";
import { writeDataReport } from "./data_report.ts";
import { untilInterrupted } from "./interrupt.ts";
import { command, filePath, jsonOption } from "./options.ts";
import { note, printJson } from "./output.ts";

/** Lists of the URL filter. */
const lists = {
  blockedDomains: filePath().optional().describe("file of domains and hosts, one a line, whose pages go"),
  blockedUrls: filePath().optional().describe("file of whole URLs that go"),
  bannedWords: filePath().optional().describe("file of words, one of which in a URL is enough"),
  softBannedWords: filePath().optional().describe("file of words, two of which in a URL are enough"),
  bannedSubwords: filePath().optional().describe("file of parts of words, one of which in a URL is enough"),
};

export default command({
  options: z.strictObject({
    input: z.array(filePath()).min(1).describe("WARC files of one crawl, or a quoted pattern or folder"),
    out: filePath().describe("folder for all that comes out, and for what a rerun needs to go on"),
    preset: z.enum(["current", "fineweb2024"]).default("current").describe("rules of the filters"),
    languages: z.array(z.string()).default(["en"]).describe('codes of those to keep, or "all"'),
    tokenizer: filePath().optional().describe("folder with a tokenizer: texts are also written as tokens"),
    timeoutMs: z.number().min(0).default(1000).describe("longest time to extract one page"),
    workers: z.int().min(1).optional().describe("tasks at once, each on a thread (default: one a core)"),
    ...lists,
    ...jsonOption,
  }),
  run: async ({ input, out, preset, languages, tokenizer, timeoutMs, workers, json, ...given }) => {
    const url = Object.fromEntries(Object.entries(given).filter(([, file]) => file !== undefined));
    const options: FinewebOptions = {
      input,
      output: out,
      preset,
      languages: languages.includes("all") ? "all" : languages,
      tokenizer,
      timeoutMs,
      url: Object.keys(url).length > 0 ? url : undefined,
    };
    const share = shareOf(process.env);
    if (share.of > 1) note(`process ${share.rank} of ${share.of}`);
    const progress = showPhases(json);
    const remark = "Stopping. What is through stays. Once more to stop at once.";
    const report = await untilInterrupted({ remark, goOn: "data fineweb, with the same flags" }, (signal) =>
      runFineweb(options, {
        workers: workers ?? availableParallelism(),
        share,
        signal,
        onProgress: progress.show,
      }).finally(progress.end),
    );
    if (report === undefined) return;
    const at = placesIn(out);
    const page = path.join(out, "report.html");
    if (report.complete)
      await writeDataReport(page, path.basename(out), report, {
        stats: [at.before, at.after],
        kept: at.text,
        rejected: at.rejected,
        duplicates: path.join(at.deduplicated, "removed"),
      });
    if (json) printJson(report);
    else printCounts(report);
    note(report.complete ? `report in ${page}` : "Other processes still filter; the last one does the rest.");
  },
});
