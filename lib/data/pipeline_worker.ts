import { parentPort, workerData } from "node:worker_threads";
import type { Outcome } from "./pipeline_pool.ts";
import { makeStep } from "./registry.ts";
import { failureOf, runTask, type Task, type TaskProgress } from "./run_task.ts";
import type { Reader, Step, StepDescription } from "./step.ts";

/** The thread of a pipeline's worker: makes the steps anew, and runs the tasks that it is sent. */

export type ToWorker = { readonly kind: "run"; readonly task: Task } | { readonly kind: "stop" };

export type FromWorker =
  | { readonly kind: "progress"; readonly progress: TaskProgress }
  | { readonly kind: "ended"; readonly outcome: Outcome }
  | { readonly kind: "stopped" };

const port = parentPort!;
const send = (message: FromWorker): void => port.postMessage(message);
const made = Promise.all((workerData as { steps: StepDescription[] }).steps.map(makeStep));
made.catch(() => undefined); // whoever is sent a task says so
let controller = new AbortController();

port.on("message", (message: ToWorker) => {
  if (message.kind === "stop") controller.abort();
  else void run(message.task);
});

async function run(task: Task): Promise<void> {
  controller = new AbortController();
  const { signal } = controller;
  try {
    const [reader, ...steps] = (await made) as [Reader, ...Step[]];
    const onProgress = (progress: TaskProgress): void => send({ kind: "progress", progress });
    const counts = await runTask(reader, steps, task, { signal, onProgress });
    send({ kind: "ended", outcome: { counts } });
  } catch (error) {
    if (signal.aborted) send({ kind: "stopped" });
    else send({ kind: "ended", outcome: { failure: failureOf(task.task, error) } });
  }
}
