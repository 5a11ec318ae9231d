import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A program that answers a JSON request a line with a JSON object a line. One at a time. */
export class Child {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  /** `env` is added to ours. */
  constructor(
    readonly name: string,
    command: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#child = spawn(command, args, { env: { ...process.env, ...env } });
    this.#child.stderr.resume(); // warnings of the libraries
    this.#child.stdin.on("error", () => undefined); // the answer that doesn't come says it
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** Throws what the program threw. */
  async ask<T extends object>(request: object): Promise<T> {
    this.#child.stdin.write(JSON.stringify(request) + "\n");
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} ended with ${this.#child.exitCode ?? this.#child.signalCode}`);
    const answer = JSON.parse(value) as T | { error: string };
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  }

  async end(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.stdin.end();
    await exit;
  }
}
