import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

/** Starts a thread of one of our modules, given by its URL without an ending. */
export function startThread(module: URL, workerData?: unknown): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(new URL(`${module.href}.js`), { workerData });
  // From source, as in our own tests: a thread doesn't inherit what reads TypeScript.
  const own = createRequire(import.meta.url).resolve("tsx/package.json");
  const tsx = new URL("./dist/esm/api/index.mjs", pathToFileURL(own)).href;
  const script = `import("${tsx}").then(({ register }) => { register(); return import("${module.href}.ts"); });`;
  return new Worker(script, { eval: true, workerData });
}
