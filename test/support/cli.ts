import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";

const program = path.resolve(import.meta.dirname, "../../dist/cli/main.js");

/** Model folders with tokenizers, a few hundred kilobytes each. */
export const tinyModel = (name: "llama" | "mixtral"): string =>
  path.resolve(import.meta.dirname, "../golden/float64", name, "model");

export const tinyAdapter = (model: "llama" | "mixtral", name: string): string =>
  path.resolve(tinyModel(model), "../adapters", name);

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  stdin?: string;
  env?: Record<string, string>;
  /** Called for each line as it comes, to meddle with the running program. */
  onLine?: (line: string, child: ChildProcess) => void;
}

/** Runs the built program, as a user would. */
export function mixwright(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  if (!existsSync(program)) throw new Error(`${program} is missing: npm run build:ts`);
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, MIXWRIGHT_DEBUG: "", ...options.env },
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    let rest = "";
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      texts[name] += chunk;
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) options.onLine?.(line, child);
    });
  }
  child.stdin.end(options.stdin ?? "");
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...texts }));
  });
}

/** The program's answer to a command that must work. */
export async function works(args: readonly string[], options?: CliOptions): Promise<string> {
  const { code, stdout, stderr } = await mixwright(args, options);
  if (code !== 0) throw new Error(`mixwright ${args.join(" ")}: exit code ${code}\n${stderr}`);
  return stdout;
}

/** Lines that are one JSON object each; throws if one isn't. */
export function objectsIn(stdout: string): Record<string, unknown>[] {
  const lines = stdout.split("\n");
  if (lines.pop() !== "") throw new Error("the last line does not end");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
