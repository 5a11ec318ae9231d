import { appendFile, mkdir, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../core/errors.ts";
import { readTextIfThere } from "../io/read_text.ts";
import { type Compression, StagedFile, stagedName } from "../io/staged_file.ts";
import { withPath } from "../io/system_error.ts";
import type { Output } from "./step.ts";

/**
 * The output files of one task: all get their names together, or none is left. Their names stand in a journal before they
 * are made, so that after a kill the next try knows what to remove, even what it wouldn't write itself.
 */
export class TaskOutputs {
  private readonly files = new Map<string, Promise<StagedFile>>();
  private readonly named = new Set<StagedFile>();

  /** `journal` is undefined where nothing is remembered of the run. */
  constructor(private readonly journal?: string) {}

  /** Opens a file that no other step of the task writes; throws ConfigError if one does. */
  create(file: string, compression?: Compression): Promise<Output> {
    const target = path.resolve(file);
    if (this.files.has(target)) {
      throw new ConfigError(
        `pipeline: two steps write ${file}, a file for each was needed. Give each a folder`,
        "dir",
      );
    }
    const opened = this.note(target).then(() => StagedFile.open(target, compression));
    this.files.set(target, opened);
    return opened;
  }

  /** Flushes everything, then gives the files their names, in the order in which they were opened. */
  async commit(): Promise<void> {
    const files = await Promise.all(this.files.values());
    for (const file of files) await file.finish();
    for (const file of files) {
      await file.commit();
      this.named.add(file);
    }
  }

  /** Removes what the task has written so far, what has its name already included. */
  async discard(): Promise<void> {
    for (const opened of await Promise.allSettled(this.files.values())) {
      if (opened.status !== "fulfilled") continue;
      await opened.value.discard();
      if (this.named.has(opened.value)) await rm(opened.value.file, { force: true });
    }
  }

  private async note(file: string): Promise<void> {
    if (this.journal === undefined) return;
    await mkdir(path.dirname(this.journal), { recursive: true });
    await appendFile(this.journal, `${JSON.stringify(file)}\n`);
  }
}

/** Throws ConfigError if an input file lies in a folder of outputs: it could be written over. */
export function refuseInputs(where: string, dirs: readonly string[], files: readonly string[]): void {
  const outputs = new Set(dirs.map((dir) => path.resolve(dir)));
  const inside = files.find((file) => outputs.has(path.dirname(path.resolve(file))));
  if (inside === undefined) return;
  throw new ConfigError(
    `${where}: ${inside} is read and lies in ${path.dirname(inside)}, which is written to. Take another folder for the output`,
    "dir",
  );
}

/**
 * Throws ConfigError if a folder of outputs holds files of tasks that this run doesn't have: of an earlier run with more
 * tasks, whose documents a reader would find a second time.
 */
export async function refuseSurplus(dirs: readonly string[], tasks: number): Promise<void> {
  for (const dir of dirs) {
    for (const name of await namesBelow(dir)) {
      const [, task] = /^(?:\d{3}_)?(\d{5,})\.\w/.exec(path.basename(name)) ?? [];
      if (task === undefined || Number(task) < tasks) continue;
      throw new ConfigError(
        `pipeline: ${path.join(dir, name)} is of an earlier run with more tasks than these ${tasks}. Remove ${dir}, or take another folder`,
        "tasks",
      );
    }
  }
}

const namesBelow = (dir: string): Promise<string[]> =>
  readdir(dir, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw withPath(error, dir);
  });

/** Removes what a task left that was killed, with or without its final name, and then the journal. */
export async function removeLeftovers(journal: string): Promise<void> {
  const lines = (await readTextIfThere(journal))?.split("\n") ?? [];
  // The last line is empty, or was cut off by the kill: then its file was not made.
  for (const line of lines.slice(0, -1)) {
    const file = JSON.parse(line) as string;
    for (const name of [file, stagedName(file)]) await rm(name, { force: true });
  }
  await rm(journal, { force: true });
}
