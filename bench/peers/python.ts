import path from "node:path";
import { Child } from "./child.ts";
import type { InputFile } from "./peer.ts";

/** peer.py at work. */
export class Python extends Child {
  constructor(
    readonly interpreter: string,
    environment: Readonly<Record<string, string>>,
  ) {
    super("python", interpreter, [path.join(import.meta.dirname, "peer.py")], environment);
  }

  /** A fresh process in this one's environment but for `changes`. */
  another(changes: Readonly<Record<string, string>>): Python {
    return new Python(this.interpreter, { ...this.environment, ...changes });
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
