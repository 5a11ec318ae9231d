import path from "node:path";
import { Child } from "./child.ts";

/** peer.py at work. */
export class Python extends Child {
  constructor(interpreter: string, environment: Readonly<Record<string, string>> = {}) {
    super("python", interpreter, [path.join(import.meta.dirname, "peer.py")], environment);
  }
}
