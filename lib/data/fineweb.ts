import path from "node:path";
import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { takeLock } from "../io/lock_file.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { type MinhashProgress, minhash } from "./dedup/minhash.ts";
import { mainText } from "./extract/main_text.ts";
import * as filter from "./filters/index.ts";
import { pii } from "./format/pii.ts";
import { type PipelineReport, pipeline, type RunProgress } from "./pipeline.ts";
import { countsOfAll } from "./pipeline_state.ts";
import type { Input } from "./readers/input_files.ts";
import { jsonl as readJsonl } from "./readers/jsonl.ts";
import { warc } from "./readers/warc.ts";
import type { Share } from "./share.ts";
import { histograms } from "./stats/histograms.ts";
import type { Reader, Step } from "./step.ts";
import { type Counts, type StepCounts, sumCounts } from "./task_counts.ts";
import { jsonl as writeJsonl } from "./writers/jsonl.ts";
import { tokens } from "./writers/tokens.ts";

export interface FinewebOptions {
  /** WARC files of one crawl: near-duplicates are looked for within it, as FineWeb does. Several crawls are several runs. */
  readonly input: Input;
  /** A folder for all that comes out: see runFineweb. */
  readonly output: string;
  /** Rules of the filters. Default "current". */
  readonly preset?: filter.Preset | undefined;
  /** Languages to keep, or "all". Default: English, as FineWeb. */
  readonly languages?: readonly string[] | "all" | undefined;
  /** Lists of the URL filter; without them there is none. */
  readonly url?: filter.UrlOptions | undefined;
  /** Longest time for one page's extraction; see extract.mainText. */
  readonly timeoutMs?: number | undefined;
  /** A folder with a tokenizer.json: what comes out is also written as tokens, and counted. */
  readonly tokenizer?: string | undefined;
}

const optionKeys = ["input", "output", "preset", "languages", "url", "timeoutMs", "tokenizer"];
const kWhere = "fineweb";

/**
 * FineWeb's steps from WARC to filtered text, in the order of its script (datatrove, examples/fineweb.py): what is kept goes to
 * `filtered` in the output folder, what is dropped to `rejected`, histograms of before the quality filters to `stats/before`.
 */
export function fineweb(options: FinewebOptions): [Reader, ...Step[]] {
  refuseUnknown(kWhere, options, optionKeys);
  const { input, output, preset = "current", languages = ["en"], url, timeoutMs } = options;
  if (typeof output !== "string" || output === "")
    throw new ConfigError(`${kWhere}: output is ${JSON.stringify(output)}, a folder was needed`, "output");
  const at = placesIn(output);
  return [
    warc(input),
    ...(url ? [filter.url(url)] : []),
    mainText({ ...(timeoutMs !== undefined && { timeoutMs }) }),
    filter.language(languages === "all" ? {} : { languages }),
    histograms(at.before),
    filter.gopherRepetition({ preset }),
    filter.gopherQuality({ preset }),
    filter.c4({ preset, filterNoTerminalPunct: false }),
    filter.fineweb({ preset }),
    writeJsonl(at.filtered, { rejected: at.rejected }),
  ];
}

/** Its last steps, over what the deduplication left: personal data replaced, texts and tokens by language. */
function lastSteps({ output, tokenizer }: FinewebOptions): [Reader, ...Step[]] {
  const at = placesIn(output);
  return [
    readJsonl(path.join(at.deduplicated, "*.jsonl.gz")),
    pii(),
    histograms(at.after),
    writeJsonl(at.text, { splitBy: "language" }),
    ...(tokenizer === undefined ? [] : [tokens(at.tokens, { tokenizer, splitBy: "language" })]),
  ];
}

/** What stands where in the output folder. */
export const placesIn = (output: string) => ({
  filtered: path.join(output, "filtered"),
  rejected: path.join(output, "rejected"),
  deduplicated: path.join(output, "deduplicated"),
  text: path.join(output, "text"),
  tokens: path.join(output, "tokens"),
  before: path.join(output, "stats", "before"),
  after: path.join(output, "stats", "after"),
  state: path.join(output, "state"),
});

export interface FinewebRunOptions {
  /** Threads. Default 1. */
  readonly workers?: number | undefined;
  /** This process's part of the input files, when several processes share them. */
  readonly share?: Share | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: FinewebProgress) => void) | undefined;
}

/** How far a run is: pages are filtered, then deduplicated, then written. */
export type FinewebProgress =
  | ({ readonly phase: "filter" | "write" } & RunProgress)
  | ({ readonly phase: "dedup" } & MinhashProgress);

/** Counts of all phases together; `read` is `kept` and all of `dropped`. */
export interface FinewebReport extends PipelineReport {
  /** False where other processes still filter: then these are counts of this process's pages, and the last one does the rest. */
  readonly complete: boolean;
}

/**
 * The whole of FineWeb over one crawl: `fineweb`'s steps; MinHash over what they keep (`deduplicated`, with what was dropped for
 * which page below it); then e-mail and IP addresses replaced, and written by language (`text/en/00000.jsonl.gz`,
 * `tokens/en/00000.ds`). A run that was stopped or killed goes on where it was (`state`). Processes that share the input filter
 * side by side; the one that ends last does what comes after.
 * @throws as `pipeline` and `dedup.minhash` do.
 */
export async function runFineweb(
  options: FinewebOptions,
  run: FinewebRunOptions = {},
): Promise<FinewebReport> {
  refuseUnknown(kWhere, run, ["workers", "share", "signal", "onProgress"]);
  const { workers = 1, share, signal, onProgress } = run;
  // It is needed last, and told of first.
  if (options.tokenizer !== undefined) await loadTokenizer(options.tokenizer);
  const at = placesIn(options.output);
  const phase = (name: "filter" | "write") => ({
    state: path.join(at.state, name),
    workers,
    signal,
    onProgress: (progress: RunProgress) => onProgress?.({ phase: name, ...progress }),
  });
  const mine = await pipeline(fineweb(options)).run({ ...phase("filter"), share });
  const all = await countsOfAll(phase("filter").state, mine.tasks.total);
  if (all === undefined) return { ...mine, complete: false };
  const lock = await takeLock(path.join(at.state, "after_filter.lock"));
  if ("holder" in lock) return { ...mine, complete: false };
  try {
    const filtered = sumCounts(Object.keys(mine.steps), all);
    const begun = performance.now();
    const { read, kept, dropped } = await minhash({ input: at.filtered, output: at.deduplicated }).run({
      workers,
      state: path.join(at.state, "dedup"),
      ...(signal && { signal }),
      onProgress: (progress) => onProgress?.({ phase: "dedup", ...progress }),
    });
    const seconds = (performance.now() - begun) / 1000;
    const written = await pipeline(lastSteps(options)).run(phase("write"));
    return together(mine, filtered, { in: read, out: kept, dropped: { ...dropped }, seconds }, written);
  } finally {
    await lock.release();
  }
}

/** One report of all phases. Steps of the last one that stood before are "name#2"; its reader reads what is counted already. */
function together(
  mine: PipelineReport,
  filtered: Counts,
  dedup: StepCounts,
  written: PipelineReport,
): FinewebReport {
  const [, ...last] = Object.entries(written.steps);
  const steps = Object.fromEntries([
    ...Object.entries(filtered.steps),
    ["dedup.minhash", dedup],
    ...last.map(([label, counts]) => [label in filtered.steps ? `${label}#2` : label, counts]),
  ]) as Record<string, StepCounts>;
  const labels = Object.keys(steps);
  const none = { read: 0, kept: 0, bytes: 0, counts: {} };
  const { run, skipped, total } = written.tasks;
  return {
    ...sumCounts(labels, [
      { ...none, ...filtered, kept: 0, steps },
      { ...none, dropped: dedup.dropped, steps: {} },
      { ...written, read: 0, bytes: 0, steps: {} },
    ]),
    tasks: {
      total: mine.tasks.total + total,
      run: mine.tasks.run + run,
      skipped: mine.tasks.skipped + skipped,
      elsewhere: mine.tasks.elsewhere,
    },
    seconds: mine.seconds + dedup.seconds + written.seconds,
    complete: true,
  };
}
