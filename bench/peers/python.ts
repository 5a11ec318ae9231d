import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Sample } from "../measure.ts";
import type { InputFile, Peer } from "./peer.ts";

/** peer.py at work: a request is an object, and so is its answer. One at a time. */
export class Python implements Peer {
  readonly name = "python";
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(
    interpreter: string,
    readonly environment: Readonly<Record<string, string>> = {},
  ) {
    this.#child = spawn(interpreter, [path.join(import.meta.dirname, "peer.py")], {
      env: { ...process.env, ...environment },
    });
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

  versions(): Promise<Record<string, string>> {
    return this.ask({});
  }

  async make(
    id: string,
    work: string,
    inputs: Readonly<Record<string, InputFile>>,
    options: object,
  ): Promise<number[]> {
    return (await this.ask<{ check: number[] }>({ make: id, case: work, inputs, options })).check;
  }

  time(id: string, threads: number, calls: number): Promise<Sample> {
    return this.ask({ time: id, threads, calls });
  }

  async drop(id: string): Promise<void> {
    await this.ask({ drop: id });
  }

  async end(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.stdin.end();
    await exit;
  }
}
