import path from "node:path";
import { ConfigError, FormatError, MixwrightError } from "../core/errors.ts";
import { sha256OfFiles } from "../io/file_hash.ts";
import { writeReport } from "../report/page.ts";
import { checkRunFolder, openRunFolder } from "../train/run_folder.ts";
import { lockRunFolder } from "../train/run_lock.ts";
import { heldOutHash } from "./base.ts";
import {
  endOfLog,
  kBase,
  readResult,
  removeResult,
  resultFile,
  runFolder,
  versions,
  writeResult,
  writeText,
} from "./folder.ts";
import { expandGrid, type StudyRun } from "./grid.ts";
import { type JobEnd, kStopped } from "./job.ts";
import { Jobs } from "./jobs.ts";
import { studyReport } from "./report.ts";
import type { BaseResult, StudyResult } from "./results.ts";
import { pointRows, type RunRow, rowOf, runRows } from "./rows.ts";
import { kFree, type StudyOptions, type StudySettings, settingsOf } from "./settings.ts";
import { readProgress } from "./train_run.ts";

/** The runs of a study's grid, in their order. Throws ConfigError for settings that don't fit. */
export const studyRuns = (options: StudyOptions): StudyRun[] => expandGrid(settingsOf(options));

/**
 * Trains a base model on the text of a new domain by every method, learning rate and seed, and measures at several points
 * what it has learned there and forgotten of the old domain. `for await (const row of runStudy({ … })) …`: one row a run, in
 * the order in which they end, those of an earlier call first. `out` then holds runs.csv, points.csv, report.html and a
 * folder for each run.
 *
 * A run is a process of its own. One that fails (a loss that isn't finite, out of memory) is a row that says why. `break` ends
 * the study at once, the signal after the steps that are running; either way `resume: true` goes on from there, and so it does
 * after a SIGKILL. Throws ConfigError for settings that don't fit, and the system's errors: a disk that is full.
 */
export async function* runStudy(options: StudyOptions): AsyncGenerator<RunRow, void, void> {
  const { resume = false, signal, note = () => undefined } = options;
  const out = path.resolve(options.out);
  const settings = absolute(settingsOf(options));
  const runs = expandGrid(settings);
  await checkRunFolder("study", out, { resume, steps: settings.steps });
  const dataSha256 = await sha256OfFiles([settings.data]);
  const unlock = await lockRunFolder("study", out);
  const jobs = new Jobs(out, settings, note);
  const stop = (): void => jobs.stop();
  signal?.addEventListener("abort", stop);
  try {
    const record = { command: "study", settings: { ...settings }, versions: versions(), dataSha256 };
    (await openRunFolder(out, record, kFree)).close();
    const base = await baseOf(out, settings, jobs, signal);
    if (base === undefined) return;
    const results = new Map<string, StudyResult>();
    const add = async (result: StudyResult): Promise<RunRow> => {
      results.set(result.run.name, result);
      await writeTables(out, settings, base, inOrder(runs, results));
      return rowOf(result, base);
    };
    const open: StudyRun[] = [];
    for (const run of runs) {
      const result = await earlierResult(out, run, settings.retryFailed);
      if (result) yield await add(result);
      else open.push(run);
    }
    for await (const run of jobs.run(open, signal)) {
      const result = await resultAfter(out, run.job, run.end, signal);
      if (result) yield await add(result);
    }
    await writeTables(out, settings, base, inOrder(runs, results));
    await writeReport(
      path.join(out, "report.html"),
      studyReport(path.basename(out), settings, base, inOrder(runs, results), runs.length),
    );
  } finally {
    signal?.removeEventListener("abort", stop);
    await jobs.end();
    await unlock();
  }
}

/** What a run writes down must hold wherever it is resumed from. */
function absolute(settings: StudySettings): StudySettings {
  const { model, data, newHeldOut, oldHeldOut, choiceHeldOut } = settings;
  const paths = {
    model,
    data,
    newHeldOut,
    oldHeldOut,
    ...(choiceHeldOut !== undefined && { choiceHeldOut }),
  };
  return {
    ...settings,
    ...Object.fromEntries(Object.entries(paths).map(([key, file]) => [key, path.resolve(file)])),
  };
}

const inOrder = (runs: readonly StudyRun[], results: ReadonlyMap<string, StudyResult>): StudyResult[] =>
  runs.flatMap(({ name }) => results.get(name) ?? []);

/** The base model's losses, measured at a study's first start. Undefined: the signal came before. */
async function baseOf(
  out: string,
  settings: StudySettings,
  jobs: Jobs,
  signal: AbortSignal | undefined,
): Promise<BaseResult | undefined> {
  const before = await readResult<BaseResult>(out, kBase);
  if (before) {
    if (before.sha256 === (await heldOutHash(settings))) return before;
    const { newHeldOut, choiceHeldOut, oldHeldOut } = settings;
    throw new ConfigError(
      `study: the content of ${[newHeldOut, choiceHeldOut, oldHeldOut].filter(Boolean).join(" or ")} is not what it was when the study in ${out} was started. ` +
        "Bring it back, or take another folder",
      "newHeldOut",
    );
  }
  const { end } = await jobs.start(kBase);
  const result = await readResult<BaseResult>(out, kBase);
  if (result || signal?.aborted) return result;
  throw new MixwrightError(`study, base model: ${await whatEnded(out, kBase, end)}`);
}

/** The result that a run has from an earlier call. */
async function earlierResult(
  out: string,
  run: StudyRun,
  retryFailed: boolean,
): Promise<StudyResult | undefined> {
  const result = await readResult<StudyResult>(out, run.name);
  if (result === undefined) return undefined;
  if (JSON.stringify(result.run) !== JSON.stringify(run)) {
    const file = resultFile(out, run.name);
    throw new FormatError(`study: ${file} is the result of another run. Delete it to do the run again`, file);
  }
  if (result.status === "done" || !retryFailed) return result;
  await removeResult(out, run.name);
  return undefined;
}

/** What a run's process left; undefined if it was stopped. Throws MixwrightError for what isn't the run's own failure. */
async function resultAfter(
  out: string,
  run: StudyRun,
  end: JobEnd,
  signal: AbortSignal | undefined,
): Promise<StudyResult | undefined> {
  const result = await readResult<StudyResult>(out, run.name);
  if (result) return result;
  // A signal to the whole group may reach the job before it listens.
  const interrupted = end.signal === "SIGINT" || end.signal === "SIGTERM";
  if (signal?.aborted || interrupted || end.code === kStopped) return undefined;
  if (end.signal === null)
    throw new MixwrightError(`study, ${run.name}: ${await whatEnded(out, run.name, end)}`);
  const progress = await readProgress(runFolder(out, run.name));
  const reason = `its process was ended by ${end.signal}, as a rule for lack of memory`;
  const failed: StudyResult = { run, status: "failed", reason, ...progress };
  await writeResult(out, run.name, failed);
  return failed;
}

async function whatEnded(out: string, name: string, { code, signal, error }: JobEnd): Promise<string> {
  if (error !== undefined) return error;
  return `its process ended with ${signal ?? code}: ${await endOfLog(out, name)}`;
}

/** Both tables, after each run: a study that is still going on can be read. */
async function writeTables(
  out: string,
  settings: StudySettings,
  base: BaseResult,
  results: readonly StudyResult[],
): Promise<void> {
  await writeText(path.join(out, "runs.csv"), runRows(results, base, settings));
  await writeText(path.join(out, "points.csv"), pointRows(results, base));
}
