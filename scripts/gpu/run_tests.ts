/** node run_tests.js FILE: runs one test file, and prints its outcome as the last line, in JSON. */
import path from "node:path";
import { pathToFileURL } from "node:url";
import { startTests, type Task, type VitestRunner } from "@vitest/runner";

export interface Outcome {
  passed: number;
  skipped: number;
  failures: string[];
}

const minutes = 60_000;
const runner: VitestRunner = {
  config: {
    root: path.resolve(import.meta.dirname, "../.."),
    setupFiles: [],
    name: undefined,
    passWithNoTests: false,
    testNamePattern: undefined,
    allowOnly: false,
    sequence: { seed: 1, hooks: "stack", setupFiles: "list" },
    chaiConfig: undefined,
    maxConcurrency: 1,
    testTimeout: 30 * minutes,
    hookTimeout: 5 * minutes,
    retry: 0,
    includeTaskLocation: false,
    tags: [],
    tagsFilter: undefined,
    strictTags: false,
  },
  importFile: (file) => import(pathToFileURL(file).href),
};

const outcome: Outcome = { passed: 0, skipped: 0, failures: [] };
function count(task: Task, names: readonly string[]): void {
  const { state, errors = [] } = task.result ?? {};
  for (const { message } of errors) outcome.failures.push(`${[...names, task.name].join(" › ")}: ${message}`);
  if (task.type === "suite")
    for (const one of task.tasks) count(one, task.name ? [...names, task.name] : names);
  else if (state === "pass") outcome.passed++;
  else if (state !== "fail") outcome.skipped++;
}
for (const file of await startTests([path.resolve(process.argv[2]!)], runner))
  count({ ...file, name: "" }, []);
process.stdout.write(`${JSON.stringify(outcome)}\n`);
