import { mkdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { FormatError } from "../core/errors.ts";
import { writeFileAtomically } from "../io/atomic.ts";
import { parseJson } from "../io/json.ts";
import { readTextIfThere } from "../io/read_text.ts";
import { readRunRecord } from "../train/run_folder.ts";
import type { StudySettings } from "./settings.ts";

/** The name of the job that measures the base model. */
export const kBase = "base";

export const runFolder = (out: string, name: string): string => path.join(out, "runs", name);
export const resultFile = (out: string, name: string): string =>
  path.join(runFolder(out, name), "result.json");
export const logFile = (out: string, name: string): string => path.join(runFolder(out, name), "log.txt");

/** What a job left behind, if it is through. */
export async function readResult<T>(out: string, name: string): Promise<T | undefined> {
  return readJson<T>(resultFile(out, name));
}

export async function writeResult(out: string, name: string, result: unknown): Promise<void> {
  await mkdir(runFolder(out, name), { recursive: true });
  await writeJson(resultFile(out, name), result);
}

export const removeResult = (out: string, name: string): Promise<void> =>
  rm(resultFile(out, name), { force: true });

/** Undefined where there is no such file. */
export async function readJson<T>(file: string): Promise<T | undefined> {
  const text = await readTextIfThere(file);
  return text === undefined ? undefined : (parseJson(text, file) as T);
}

export const writeJson = (file: string, value: unknown): Promise<void> =>
  writeText(file, `${JSON.stringify(value)}\n`);

export const writeText = (file: string, text: string): Promise<void> =>
  writeFileAtomically(file, async (handle) => {
    await handle.writeFile(text);
  });

/** The settings of the study in `out`. */
export async function readSettings(out: string): Promise<StudySettings> {
  const record = await readRunRecord(out);
  if (record?.command === "study") return record.settings as unknown as StudySettings;
  throw new FormatError(`study: ${out} holds no study`, out);
}

/** The last lines that a job's process wrote. */
export async function endOfLog(out: string, name: string, lines = 3): Promise<string> {
  const text = await readFile(logFile(out, name), "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lines).join(" ");
}

/** What a result depends on beside its settings. */
export const versions = (): Record<string, string> => ({
  mixwright: (createRequire(import.meta.url)("../../package.json") as { version: string }).version,
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
});
