import path from "node:path";
import { Child } from "./child.ts";
import type { InputFile } from "./peer.ts";

/** peer.py at work. */
export class Python extends Child {
  constructor(
    readonly interpreter: string,
    environment: Readonly<Record<string, string>>,
  ) {
    const restMs = (environment.MIXWRIGHT_PEERS_DEVICE ?? "cpu") === "cpu" ? undefined : 0;
    super("python", interpreter, [path.join(import.meta.dirname, "peer.py")], environment, restMs);
  }

  /** A fresh process in this one's environment but for `changes`. */
  another(changes: Readonly<Record<string, string>>): Python {
    return new Python(this.interpreter, { ...this.environment, ...changes });
  }

  /**
   * How far `results`, samples of ours in files, are from what the work comes to in float64, as ‖found - wanted‖ / ‖wanted‖
   * of each group. From here to the next `drop`, `errorsOf` says the same of PyTorch's own results.
   */
  async judge(
    work: string,
    inputs: Readonly<Record<string, InputFile>>,
    options: object,
    results: readonly (readonly InputFile[])[],
  ): Promise<number[]> {
    const asked = { judge: results, case: work, inputs, options };
    return (await this.ask<{ errors: number[] }>(asked)).errors;
  }

  /** Like `make`, once there was a `judge`. */
  async errorsOf(
    id: string,
    work: string,
    inputs: Readonly<Record<string, InputFile>>,
    options: object,
  ): Promise<number[]> {
    return (await this.ask<{ errors: number[] }>({ make: id, case: work, inputs, options })).errors;
  }

  /** How many bytes so many calls of `work` take over what stands before the first. Only a fresh process can tell. */
  async grow(
    work: string,
    inputs: Readonly<Record<string, InputFile>>,
    options: object,
    calls: number,
  ): Promise<number> {
    return (await this.ask<{ bytes: number }>({ grow: calls, case: work, inputs, options })).bytes;
  }
}
