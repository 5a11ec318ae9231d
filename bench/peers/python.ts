import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

/** peer.py at work: a request is an object, and so is its answer. One at a time. */
export class Python {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(interpreter: string) {
    this.#child = spawn(interpreter, [path.join(import.meta.dirname, "peer.py")]);
    this.#child.stderr.resume(); // warnings of the libraries
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** Throws what Python threw. */
  async ask<T extends object>(request: object): Promise<T> {
    this.#child.stdin.write(JSON.stringify(request) + "\n");
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`peer.py ended with ${this.#child.exitCode ?? this.#child.signalCode}`);
    const answer = JSON.parse(value) as T | { error: string };
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  }

  async end(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.stdin.end();
    await exit;
  }
}
