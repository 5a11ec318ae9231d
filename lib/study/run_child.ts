// The process of one job of a study: node run_child.js OUT NAME. It leaves its result in a file, and ends with its parent.
import { setTimeout as sleep } from "node:timers/promises";
import { type Device, device as openDevice } from "../core/device.ts";
import { ConfigError, DeviceError, MixwrightError, OutOfMemoryError } from "../core/errors.ts";
import { isSystemError, systemMessage } from "../io/system_error.ts";
import { lockRunFolder } from "../train/run_lock.ts";
import { measureBase } from "./base.ts";
import { kBase, readSettings, runFolder, writeResult } from "./folder.ts";
import { expandGrid, type StudyRun } from "./grid.ts";
import { type ChildMessage, kStopped } from "./job.ts";
import type { StudyResult } from "./results.ts";
import { runMemory } from "./run_memory.ts";
import { type StudySettings, threadsOf } from "./settings.ts";
import { clearProgress, readProgress, trainRun } from "./train_run.ts";

const [, , out = "", name = ""] = process.argv;
const stop = new AbortController();
const orphaned = (): void => process.exit(1);
process.on("disconnect", orphaned);
process.on("message", () => stop.abort());
// Ctrl-C on a terminal reaches all its processes; the parent says when to stop.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => undefined);

async function main(): Promise<number> {
  const settings = await readSettings(out);
  const unlock = await patientLock(runFolder(out, name));
  const device = await openDevice(settings.device, {
    threads: threadsOf(settings),
    ...(settings.memoryLimitBytes !== undefined && { memoryLimitBytes: settings.memoryLimitBytes }),
  });
  try {
    if (name === kBase) {
      await writeResult(out, name, await measureBase(settings, device));
      return 0;
    }
    const run = expandGrid(settings).find((one) => one.name === name);
    if (run === undefined) throw new ConfigError(`study: no run is called ${name}`, "name");
    const result = await resultOf(settings, run, device);
    if (result === undefined) return kStopped;
    await writeResult(out, name, result);
    await clearProgress(runFolder(out, name));
    return 0;
  } finally {
    await unlock();
    device.close();
  }
}

/** The run's result; a failure that lies in the run, not around it, is one too. */
async function resultOf(
  settings: StudySettings,
  run: StudyRun,
  device: Device,
): Promise<StudyResult | undefined> {
  try {
    const measured = (frozen: number): void => {
      const memory = runMemory(device, frozen, settings.dtype);
      process.send?.({ memory } satisfies ChildMessage);
    };
    return await trainRun(out, settings, run, { device, measured, signal: stop.signal });
  } catch (error) {
    if (!(error instanceof MixwrightError)) throw error;
    const progress = await readProgress(runFolder(out, run.name));
    return { run, status: "failed", reason: reasonOf(error), ...progress };
  }
}

function reasonOf(error: MixwrightError): string {
  if (error instanceof OutOfMemoryError) return `out of memory: ${error.message}`;
  return error instanceof DeviceError ? `device: ${error.message}` : error.message;
}

/** A process whose parent was killed takes a moment to notice. */
async function patientLock(dir: string): Promise<() => Promise<void>> {
  for (let tries = 0; ; tries++) {
    try {
      return await lockRunFolder("study", dir);
    } catch (error) {
      if (!(error instanceof ConfigError) || tries >= 100) throw error;
      await sleep(100);
    }
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const expected = error instanceof MixwrightError || isSystemError(error);
  const message = isSystemError(error) ? systemMessage(error) : String((error as Error).message);
  if (!expected) process.stderr.write(`${(error as Error).stack}\n`);
  process.exitCode = 1;
  await new Promise<void>((resolve) => {
    process.send?.({ error: message } satisfies ChildMessage, () => resolve());
  });
}
process.off("disconnect", orphaned);
if (process.connected) process.disconnect();
