import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ConfigError } from "../core/errors.ts";
import { writeFileAtomically, writeFully } from "../io/atomic.ts";
import { namesIn } from "../io/fresh_folder.ts";
import { isObject, parseJson } from "../io/json.ts";
import { takeLock } from "../io/lock_file.ts";
import { readTextIfThere } from "../io/read_text.ts";
import { withPath } from "../io/system_error.ts";
import type { Share } from "./share.ts";
import type { StepDescription } from "./step.ts";
import { type Counts, noCounts } from "./task_counts.ts";

/** What a state folder is about: with anything else it is refused. */
export interface Identity {
  readonly steps: readonly StepDescription[];
  readonly tasks: number;
  readonly rejected: string | null;
  readonly files: number;
  /** Of the names of all input files, and their sizes. */
  readonly filesSha256: string;
}

export async function identityOf(
  steps: readonly StepDescription[],
  { tasks, rejected, files }: { tasks: number; rejected: string | undefined; files: readonly string[] },
): Promise<Identity> {
  const hash = createHash("sha256");
  for (const file of files) {
    const { size } = await stat(file).catch((error: unknown) => {
      throw withPath(error, file);
    });
    hash.update(`${file}\0${size}\n`);
  }
  const plain = JSON.parse(JSON.stringify(steps)) as StepDescription[];
  return {
    steps: plain,
    tasks,
    rejected: rejected ?? null,
    files: files.length,
    filesSha256: hash.digest("hex"),
  };
}

/**
 * The folder that remembers a run: `pipeline.json` says of what, `completions/` has the counts of every task that is
 * through, each written in one step, and `unfinished/` the names of the outputs of those that aren't.
 */
export class PipelineState {
  private constructor(readonly dir: string) {}

  /** Opens or begins a state. Throws ConfigError, saying what differs, if it is of another pipeline. */
  static async open(dir: string, identity: Identity): Promise<PipelineState> {
    const file = path.join(dir, "pipeline.json");
    let text = await readTextIfThere(file);
    if (text === undefined) {
      const others = await namesIn(dir);
      // A process that shares the tasks may have begun it in between.
      text = await readTextIfThere(file);
      if (text === undefined && others.some((name) => !/^pipeline\.json(\.tmp-|$)/.test(name))) {
        throw new ConfigError(
          `pipeline: state ${dir} holds ${others.slice(0, 3).join(", ")} and no pipeline.json, an empty folder or a state was needed. Take another folder`,
          "state",
        );
      }
      if (text === undefined) {
        await writeJson(file, identity);
        return new PipelineState(dir);
      }
    }
    const found = parseJson(text, file);
    const difference = isObject(found) ? differenceOf(found, identity) : "it is no object";
    if (difference) {
      throw new ConfigError(
        `pipeline: state ${dir} is of another pipeline: ${difference}. Take another folder, or remove it to begin anew`,
        "state",
      );
    }
    return new PipelineState(dir);
  }

  /**
   * Keeps other processes off a share of the tasks, until the function that it returns is called. Throws ConfigError while one
   * has it, or a share of another number of shares, which may have the same tasks.
   */
  async lock({ rank, of }: Share): Promise<() => Promise<void>> {
    const own = `share_${rank}_of_${of}.lock`;
    const others = (await namesIn(this.dir)).filter(
      (name) => /^share_\d+_of_\d+\.lock$/.test(name) && !name.endsWith(`_of_${of}.lock`),
    );
    const release = await this.take(own);
    try {
      for (const name of others) await (await this.take(name))();
    } catch (error) {
      await release();
      throw error;
    }
    return release;
  }

  private async take(name: string): Promise<() => Promise<void>> {
    const file = path.join(this.dir, name);
    const lock = await takeLock(file);
    if ("release" in lock) return lock.release;
    throw new ConfigError(
      `pipeline: ${lock.holder} is at work in state ${this.dir} (${name}). Wait for its end (if it is no run of mixwright, delete ${file})`,
      "state",
    );
  }

  journal(task: number): string {
    return path.join(this.dir, "unfinished", `${nameOf(task)}.jsonl`);
  }

  /** Counts of a task that is through, undefined for one that isn't. */
  async completed(task: number): Promise<Counts | undefined> {
    const file = this.marker(task);
    const text = await readTextIfThere(file);
    return text === undefined ? undefined : countsIn(text, file);
  }

  async complete(task: number, counts: Counts): Promise<void> {
    await writeJson(this.marker(task), counts);
  }

  private marker(task: number): string {
    return path.join(this.dir, kCompletions, `${nameOf(task)}.json`);
  }
}

/** Counts of all tasks of a state, by whatever processes; undefined while fewer than `tasks` are through. */
export async function countsOfAll(dir: string, tasks: number): Promise<Counts[] | undefined> {
  const folder = path.join(dir, kCompletions);
  const names = (await namesIn(folder)).filter((name) => name.endsWith(".json")).sort();
  if (names.length < tasks) return undefined;
  const all: Counts[] = [];
  for (const name of names) {
    const file = path.join(folder, name);
    all.push(countsIn(await readFile(file, "utf8"), file));
  }
  return all;
}

const countsIn = (text: string, file: string): Counts => ({
  ...noCounts([]),
  ...(parseJson(text, file) as Counts),
});

const kCompletions = "completions";

const nameOf = (task: number): string => String(task).padStart(5, "0");

const writeJson = (file: string, value: unknown): Promise<void> =>
  writeFileAtomically(file, (handle) =>
    writeFully(handle, Buffer.from(`${JSON.stringify(value, null, 2)}\n`)),
  );

function differenceOf(found: Record<string, unknown>, identity: Identity): string | undefined {
  const { steps: was = [], ...before } = found as unknown as Identity;
  const { steps: now, ...after } = identity;
  for (let k = 0; k < Math.max(was.length, now.length); k++) {
    if (isDeepStrictEqual(was[k], now[k])) continue;
    const words = (step: StepDescription | undefined): string =>
      step ? `${step.step} ${JSON.stringify(step.options)}` : "none";
    return `step ${k + 1} was ${words(was[k])}, now it is ${words(now[k])}`;
  }
  for (const [key, value] of Object.entries(after)) {
    const old = before[key as keyof typeof before];
    if (old === value) continue;
    if (key === "filesSha256") return "the input files have other names or sizes";
    return `${key} was ${old}, now it is ${value}`;
  }
  return undefined;
}
