import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import type { Report } from "./report.ts";
import type { Outcome } from "./run_tests.ts";

const root = path.resolve(import.meta.dirname, "../..");
const tail = (text: string): string => text.trim().split("\n").slice(-40).join("\n");

/**
 * Runs test files, each in a process of its own: what crashes or hangs there doesn't end the report. A file that hasn't ended
 * by `deadline` is stopped, and those behind it don't run.
 */
export function runTests(
  report: Report,
  title: string,
  files: readonly string[],
  deadline: number,
  prefix: readonly string[] = [],
): void {
  report.print("", `## ${title}`);
  if (files.length === 0) report.failed = true;
  const details: string[] = [];
  report.head("tests", "passed", "failed", "skipped", "seconds");
  for (const file of files) {
    const name = file.replace(/\.test\.js$/, "");
    const [command, ...words] = [...prefix, process.execPath, path.join(import.meta.dirname, "run_tests.js")];
    const from = performance.now();
    if (from > deadline) {
      report.failed = true;
      report.row(name, 0, 0, 0, "not run: time is up");
      continue;
    }
    const { status, signal, stdout, stderr } = spawnSync(
      command!,
      [...words, path.join(root, "test", file)],
      {
        encoding: "utf8",
        env: { ...process.env, MIXWRIGHT_TEST_DEVICE: "cuda", NO_COLOR: "1" },
        maxBuffer: 1 << 28,
        timeout: Math.ceil(deadline - from),
        killSignal: "SIGKILL",
      },
    );
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    const line = stdout.split("\n").findLast((text) => text.startsWith('{"passed"'));
    const outcome: Outcome = line ? JSON.parse(line) : { passed: 0, skipped: 0, failures: [] };
    const { passed, skipped, failures } = outcome;
    if (line === undefined || status !== 0)
      failures.push(`ended with ${signal ?? status}:\n${tail(stdout + stderr)}`);
    if (failures.length > 0) report.failed = true;
    for (const failure of failures) details.push(`- **${file}** ${failure.slice(0, 4000)}`);
    report.keep({ title, file, passed, skipped, failures, seconds });
    report.row(name, passed, failures.length, skipped, seconds);
  }
  report.print("", ...details);
}

const tools = ["memcheck", "racecheck", "synccheck", "initcheck"];

/** The tests of the ops under every tool of compute-sanitizer; the time is shared among them. */
export function runSanitized(report: Report, files: readonly string[], limitMs: number): void {
  const found = ["compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer"].find(
    (program) => existsSync(program) || spawnSync(program, ["--version"]).status === 0,
  );
  if (found === undefined) {
    report.failed = true;
    report.print("", "compute-sanitizer was asked for, and is neither in PATH nor in /usr/local/cuda/bin.");
    return;
  }
  for (const tool of tools) {
    const deadline = performance.now() + limitMs / tools.length;
    const prefix = [found, "--tool", tool, "--error-exitcode", "9"];
    runTests(report, `Ops under compute-sanitizer ${tool}`, files, deadline, prefix);
  }
}
