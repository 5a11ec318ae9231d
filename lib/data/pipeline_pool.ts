import type { Worker } from "node:worker_threads";
import type { FromWorker, ToWorker } from "./pipeline_worker.ts";
import type { Task, TaskFailure, TaskProgress } from "./run_task.ts";
import { startThread } from "./start_thread.ts";
import type { StepDescription } from "./step.ts";
import type { Counts } from "./task_counts.ts";

/** What becomes of a task. */
export type Outcome = { readonly counts: Counts } | { readonly failure: TaskFailure };

/**
 * A thread that runs tasks one after another, with steps of its own made from their descriptions. If it dies (out of
 * memory, say), the task that it had has failed, and the next one gets a new thread. Node gives a thread 16 MB beyond its
 * limit to end in: one allocation of more than that, or a crash of native code, ends the whole process, and a rerun goes on.
 */
export class PipelineThread {
  private worker: Worker | undefined;
  /** What ended the thread between two tasks. */
  private stray: Error | undefined;

  constructor(private readonly steps: readonly StepDescription[]) {}

  run(
    task: Task,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: TaskProgress) => void },
  ): Promise<Outcome> {
    this.worker ??= this.start();
    const worker = this.worker;
    return new Promise((resolve, reject) => {
      const stop = (): void => worker.postMessage({ kind: "stop" } satisfies ToWorker);
      const onExit = (code: number): void => {
        const message = this.stray?.message ?? `its thread ended with code ${code}`;
        this.stray = undefined;
        settle(() => resolve({ failure: { task: task.task, step: "worker", message } }));
      };
      const onMessage = (message: FromWorker): void => {
        if (message.kind === "progress") onProgress(message.progress);
        else if (message.kind === "stopped") settle(() => reject(signal.reason as Error));
        else settle(() => resolve(message.outcome));
      };
      const settle = (finish: () => void): void => {
        signal.removeEventListener("abort", stop);
        worker.off("message", onMessage).off("exit", onExit);
        finish();
      };
      worker.on("message", onMessage).on("exit", onExit);
      signal.addEventListener("abort", stop);
      worker.postMessage({ kind: "run", task } satisfies ToWorker);
      if (signal.aborted) stop();
    });
  }

  async close(): Promise<void> {
    await this.worker?.terminate();
  }

  private start(): Worker {
    const worker = startThread(new URL("./pipeline_worker", import.meta.url), { steps: this.steps });
    worker.on("error", (error) => {
      this.stray = error;
    });
    worker.on("exit", () => {
      if (this.worker === worker) this.worker = undefined;
    });
    return worker;
  }
}
