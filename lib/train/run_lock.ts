import { mkdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError } from "../core/errors.ts";

export const kLockName = "run.lock";

/** Milliseconds that a process may take from making its lock to writing its pid. */
const kWriting = 100;

/**
 * Takes a run's folder for this process, by a file with its pid; the function it returns gives it back. A lock whose process
 * is gone is passed over. Throws ConfigError, with the pid, while another process has the folder.
 */
export async function lockRunFolder(command: string, dir: string): Promise<() => Promise<void>> {
  const made = await mkdir(dir, { recursive: true });
  const file = path.join(dir, kLockName);
  while (!(await create(file))) {
    const pid = (await ownerOf(file)) ?? (await sleep(kWriting).then(() => ownerOf(file)));
    if (pid !== undefined && pid !== process.pid && isAlive(pid)) {
      throw new ConfigError(
        `${command}: process ${pid} is at work in ${dir}. Wait for its end, or take another folder (if ${pid} is no run of mixwright, delete ${file})`,
        "out",
      );
    }
    await rm(file, { force: true });
  }
  return async () => {
    await rm(file, { force: true });
    if (made !== undefined) await rmdir(dir).catch(() => undefined); // stays unless empty
  };
}

async function create(file: string): Promise<boolean> {
  try {
    await writeFile(file, `${process.pid}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** Undefined while the pid is still to be written. */
async function ownerOf(file: string): Promise<number | undefined> {
  const pid = Number.parseInt(await readFile(file, "utf8").catch(() => ""), 10);
  return pid > 0 ? pid : undefined;
}

/** Signal 0 only asks; EPERM: there is such a process, of another user. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
