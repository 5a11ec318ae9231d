import type { Worker } from "node:worker_threads";
import { FormatError, MixwrightError } from "../../../core/errors.ts";
import { startThread } from "../../start_thread.ts";
import { type MinhashTask, runTask } from "./task.ts";
import type { Answer } from "./worker.ts";

/** Runs tasks of one stage to their end, some at a time. */
export interface WorkerPool {
  /**
   * Calls `onDone` when one more is through. Rejects with the first failure, or when the signal aborts; tasks that run then
   * are finished by nobody.
   */
  run(tasks: readonly MinhashTask[], onDone?: () => void): Promise<void>;
  close(): Promise<void>;
}

/** Up to `workers` threads; with one that nothing may stop, everything runs in this thread. */
export function workerPool(workers: number, signal?: AbortSignal): WorkerPool {
  const threads: Worker[] = [];
  const one = (i: number): ((task: MinhashTask) => Promise<void>) => {
    if (workers === 1 && signal === undefined) return runTask;
    threads[i] ??= startThread(new URL("./worker", import.meta.url));
    return (task) => ask(threads[i]!, task);
  };
  return {
    async run(tasks, onDone) {
      const waiting = [...tasks];
      const work = async (runOne: (task: MinhashTask) => Promise<void>): Promise<void> => {
        for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
          signal?.throwIfAborted();
          await runOne(task);
          onDone?.();
        }
      };
      const all = Array.from({ length: Math.min(workers, tasks.length) }, (_, i) => work(one(i)));
      await Promise.race([Promise.all(all), aborted(signal)]);
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.terminate()));
    },
  };
}

/** Rejects when the signal aborts. */
const aborted = (signal?: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason), { once: true }));

function ask(thread: Worker, task: MinhashTask): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      thread.off("message", onMessage).off("error", settle).off("exit", onExit);
      if (error) reject(error);
      else resolve();
    };
    const onMessage = ({ failure }: Answer): void => settle(failure && asError(failure));
    const onExit = (code: number): void =>
      settle(new MixwrightError(`dedup.minhash: a thread ended with code ${code} in stage ${task.stage}.`));
    thread.on("message", onMessage).on("error", settle).on("exit", onExit);
    thread.postMessage(task);
  });
}

const asError = ({ name, message, file, line }: NonNullable<Answer["failure"]>): Error =>
  name === "FormatError" ? new FormatError(message, file, line) : new MixwrightError(message);
