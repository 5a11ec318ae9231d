import { execFile } from "node:child_process";
import path from "node:path";
import { pathToFileURL } from "node:url";

const root = path.resolve(import.meta.dirname, "../..");

/** A file of this repository as an import specifier, with its quotes. */
export const url = (file: string): string => JSON.stringify(pathToFileURL(path.join(root, file)).href);

/** What a child's worker begins with, so that it can import TypeScript. */
export const workerPrelude = `
  import { parentPort, workerData } from "node:worker_threads";
  import { register } from ${url("node_modules/tsx/dist/esm/api/index.mjs")};
  register();
`;

/** Runs a script in a Node process of its own, to its end; code is the signal when one ended it. */
export function child(
  script: string,
  { cwd = root, env = {} } = {},
): Promise<{ code: unknown; out: string; ms: number }> {
  const from = performance.now();
  const tsx = pathToFileURL(path.join(root, "node_modules/tsx/dist/esm/index.mjs")).href;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--import", tsx, "--input-type=module", "-e", script],
      { cwd, env: { ...process.env, ...env }, timeout: 30_000, killSignal: "SIGKILL" },
      (error, stdout, stderr) =>
        resolve({
          code: error === null ? 0 : (error.signal ?? error.code),
          out: stdout + stderr,
          ms: performance.now() - from,
        }),
    );
  });
}
