import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { logFile, runFolder } from "./folder.ts";
import type { RunMemory } from "./run_memory.ts";

/** What a job's process says: before it ends for a reason that isn't its run's, and of the memory it takes. */
export type ChildMessage = { error: string } | { memory: RunMemory };

/** Exit code of a job that was asked to stop, and saved itself. */
export const kStopped = 3;

/** How a job's process ended. */
export interface JobEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  error?: string;
}

export interface Job {
  name: string;
  end: Promise<JobEnd>;
  /** Asks it to stop after the step that is running. */
  stop(): void;
  kill(): void;
}

/** Starts a job of the study in `out` in a process of its own, so that nothing it does to its memory can end the study. */
export function startJob(out: string, name: string, measured: (memory: RunMemory) => void): Job {
  mkdirSync(runFolder(out, name), { recursive: true });
  const log = openSync(logFile(out, name), "a");
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, [...loader(), childFile, out, name], {
      stdio: ["ignore", log, log, "ipc"],
    });
  } finally {
    closeSync(log);
  }
  let said: { error: string } | undefined;
  child.on("message", (message: ChildMessage) => {
    if ("memory" in message) measured(message.memory);
    else said = message;
  });
  const end = new Promise<JobEnd>((resolve) => {
    child.on("error", (error) => resolve({ code: null, signal: null, error: error.message }));
    child.on("close", (code, signal) => resolve({ code, signal, ...said }));
  });
  return {
    name,
    end,
    stop: () => {
      if (child.connected) child.send("stop", () => undefined); // one that is ending needn't hear it
    },
    kill: () => void child.kill("SIGKILL"),
  };
}

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const childFile = fileURLToPath(new URL(`./run_child.${extension}`, import.meta.url));

/** From a clone's sources a child needs what its parent runs by. */
const loader = (): string[] =>
  extension === "js" ? [] : ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href];
