import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import type { Sample } from "../measure.ts";
import type { InputFile, Peer } from "./peer.ts";

/** OpenMP's threads spin for some milliseconds after their work, on processors that the next side needs. */
const spinMs = 20;

/** A program that answers a JSON object a line with one. One at a time. */
export class Child implements Peer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(
    readonly name: string,
    command: string,
    args: readonly string[],
    readonly environment: Readonly<Record<string, string>>,
    private readonly restMs = spinMs,
  ) {
    this.#child = spawn(command, args, { env: { ...process.env, ...environment } });
    this.#child.stderr.resume(); // warnings of the libraries
    this.#child.stdin.on("error", () => undefined); // it has ended: what is asked of it says so
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

  async time(id: string, threads: number, calls: number): Promise<Sample> {
    const sample = await this.ask<Sample>({ time: id, threads, calls });
    if (this.restMs > 0) await pause(this.restMs);
    return sample;
  }

  async drop(id: string): Promise<void> {
    await this.ask({ drop: id });
  }

  async end(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.stdin.end();
    await exit;
  }
}
