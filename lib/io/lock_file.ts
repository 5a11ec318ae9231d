import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A lock that this process has, or who has it. */
export type Lock =
  | { readonly release: () => Promise<void> }
  | { readonly holder: string; readonly pid: number };

/** Milliseconds that a process may take from making its lock to writing its pid. */
const kWriting = 100;
/** Milliseconds between two signs of life, and after how many without one a process of another machine is taken for gone. */
const kBeat = 10_000;
const kGone = 90_000;

const holderLine = `${process.pid} ${hostname()}\n`;

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** Locks of this process. */
const held = new Set<string>();

/**
 * Takes a file as a lock: it holds the pid and the machine of the process that made it, and is touched while that has it. A
 * lock is passed over if its process is gone: on this machine by its pid, on another one by a file that isn't touched any more.
 */
export async function takeLock(file: string): Promise<Lock> {
  const full = path.resolve(file);
  await mkdir(path.dirname(full), { recursive: true });
  while (held.has(full) || !(await create(full))) {
    if (held.has(full)) return { holder: `process ${process.pid}`, pid: process.pid };
    const holder = (await holderOf(full)) ?? (await sleep(kWriting).then(() => holderOf(full)));
    if (holder && (await isAlive(full, holder))) {
      const where = holder.host === hostname() ? "" : ` of ${holder.host}`;
      return { holder: `process ${holder.pid}${where}`, pid: holder.pid };
    }
    await removeStale(full, holder);
  }
  held.add(full);
  const beat = setInterval(() => {
    touch(full).catch(() => undefined); // whoever removed it by hand wanted it gone
  }, kBeat).unref();
  return {
    release: async () => {
      clearInterval(beat);
      held.delete(full);
      await rm(full, { force: true });
    },
  };
}

/** Milliseconds after which a process that began to remove a stale lock is taken for gone. */
const kRemoving = 5000;

/**
 * Removes a lock whose holder is gone, one process at a time: another may have removed it meanwhile and made its own, which
 * stays.
 */
async function removeStale(file: string, stale: Holder | undefined): Promise<void> {
  const guard = `${file}.stale`;
  if (!(await create(guard))) {
    if ((await silentMs(guard)) > kRemoving) await rm(guard, { force: true });
    return sleep(20);
  }
  try {
    const now = await holderOf(file);
    if (now?.pid === stale?.pid && now?.host === stale?.host) await rm(file, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

async function create(file: string): Promise<boolean> {
  try {
    await writeFile(file, holderLine, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** Gives a file the file system's present time: writing does, setting it would take this machine's clock. */
const touch = (file: string): Promise<void> => writeFile(file, holderLine, { flag: "r+" });

/** Undefined while the pid is still to be written. */
async function holderOf(file: string): Promise<Holder | undefined> {
  const [pid = "", host = hostname()] = (await readFile(file, "utf8").catch(() => "")).trim().split(" ");
  return Number.parseInt(pid, 10) > 0 ? { pid: Number.parseInt(pid, 10), host } : undefined;
}

async function isAlive(file: string, { pid, host }: Holder): Promise<boolean> {
  if (host !== hostname()) return (await silentMs(file)) < kGone;
  if (pid === process.pid) return false; // of a process before this one that had the same number
  try {
    process.kill(pid, 0); // only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // there is such a process, of another user
  }
}

/** Since when a file hasn't been touched, by the clock of the file system: machines' own clocks may differ. */
async function silentMs(file: string): Promise<number> {
  const probe = `${file}.${process.pid}`;
  try {
    await writeFile(probe, "");
    const { mtimeMs } = await stat(file);
    return (await stat(probe)).mtimeMs - mtimeMs;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Number.POSITIVE_INFINITY;
    throw error;
  } finally {
    await rm(probe, { force: true });
  }
}
