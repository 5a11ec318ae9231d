import { mkdir, rmdir } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../core/errors.ts";
import { takeLock } from "../io/lock_file.ts";

export const kLockName = "run.lock";

/**
 * Takes a run's folder for this process, by a lock (see takeLock); the function it returns gives it back.
 * Throws ConfigError, with the pid, while another process has the folder.
 */
export async function lockRunFolder(command: string, dir: string): Promise<() => Promise<void>> {
  const made = await mkdir(dir, { recursive: true });
  const file = path.join(dir, kLockName);
  const lock = await takeLock(file);
  if ("holder" in lock) {
    throw new ConfigError(
      `${command}: ${lock.holder} is at work in ${dir}. Wait for its end, or take another folder (if ${lock.pid} is no run of mixwright, delete ${file})`,
      "out",
    );
  }
  return async () => {
    await lock.release();
    if (made !== undefined) await rmdir(dir).catch(() => undefined); // stays unless empty
  };
}
