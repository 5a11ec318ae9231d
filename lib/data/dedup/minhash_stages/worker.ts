import { parentPort } from "node:worker_threads";
import { type MinhashTask, runTask } from "./task.ts";

/** What a thread answers: nothing, or what it failed of. Errors lose their class on the way, so their fields are sent. */
export interface Answer {
  readonly failure?: {
    readonly name: string;
    readonly message: string;
    readonly file?: string;
    readonly line?: number;
  };
}

parentPort!.on("message", async (task: MinhashTask) => {
  let answer: Answer = {};
  try {
    await runTask(task);
  } catch (error) {
    const { name, message, file, line } = error as Error & { file?: string; line?: number };
    answer = { failure: { name, message, file, line } };
  }
  parentPort!.postMessage(answer);
});
