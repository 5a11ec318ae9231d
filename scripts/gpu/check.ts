/** What run.sh of the bundle starts: see there. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import type { Outcome } from "./run_tests.ts";

process.env.MIXWRIGHT_ENGINE ??= "cuda"; // before anything loads an engine
const { wayOut } = await import("../../lib/core/cuda_probe.ts");
const { cudaDevices } = await import("../../lib/core/native.ts");
const { timeOps, trainBoth } = await import("./timings.ts");

const root = path.resolve(import.meta.dirname, "../..");
const { sanitize } = parseArgs({ options: { sanitize: { type: "boolean", default: false } } }).values;
const print = (...lines: string[]): void => void process.stdout.write(`${lines.join("\n")}\n`);
const table = (...rows: (string | number)[][]): void => {
  const [head, ...body] = rows.map((row) => `| ${row.join(" | ")} |`);
  print("", head!, `|${" --- |".repeat(rows[0]!.length)}`, ...body, "");
};

print("# mixwright on CUDA", "");
const { devices, reason } = cudaDevices();
if (devices.length === 0) {
  print(`There is no device: ${reason}. ${wayOut(reason)}.`);
  process.exit(2);
}
const asked = ["driver_version", "clocks.max.sm", "clocks.max.memory", "power.limit"];
const smi = spawnSync("nvidia-smi", [`--query-gpu=${asked.join(",")}`, "--format=csv,noheader"], {
  encoding: "utf8",
});
table(
  ["device", "capability", "multiprocessors", "memory", asked.join(", ")],
  ...devices.map(({ name, capability, multiprocessors, bytes }, i) => [
    `cuda:${i} ${name}`,
    capability,
    multiprocessors,
    `${(bytes / 2 ** 30).toFixed(1)} GiB`,
    smi.stdout?.split("\n")[i] || "unknown",
  ]),
);
print(
  `${cpus()[0]?.model}, ${cpus().length} processors, Node ${process.version}, ${new Date().toISOString()}`,
);

let failed = false;
// A loss that nobody waits for yet may be the first to tell of a failure; whoever waits for the device is told as well.
process.on("unhandledRejection", () => {
  failed = true;
});
const tests = readdirSync(path.join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.js"))
  .sort();

/** Runs test files, each in a process of its own: what crashes or hangs there doesn't end the report. */
function runTests(title: string, files: readonly string[], prefix: readonly string[] = []): void {
  print("", `## ${title}`);
  if (files.length === 0) failed = true;
  const details: string[] = [];
  const rows = files.map((file) => {
    const [command, ...words] = [...prefix, process.execPath, path.join(import.meta.dirname, "run_tests.js")];
    const from = performance.now();
    const { status, signal, stdout, stderr } = spawnSync(
      command!,
      [...words, path.join(root, "test", file)],
      {
        encoding: "utf8",
        env: { ...process.env, MIXWRIGHT_TEST_DEVICE: "cuda", NO_COLOR: "1" },
        maxBuffer: 1 << 28,
        timeout: prefix.length > 0 ? 3_600_000 : 900_000,
        killSignal: "SIGKILL",
      },
    );
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    const line = stdout.split("\n").findLast((text) => text.startsWith('{"passed"'));
    const { passed, skipped, failures }: Outcome = line
      ? JSON.parse(line)
      : { passed: 0, skipped: 0, failures: [] };
    if (line === undefined || status !== 0)
      failures.push(`ended with ${signal ?? status}:\n${tail(stdout + stderr)}`);
    if (failures.length > 0) failed = true;
    for (const failure of failures) details.push(`- **${file}** ${failure.slice(0, 4000)}`);
    return [file.replace(/\.test\.js$/, ""), passed, failures.length, skipped, seconds];
  });
  table(["tests", "passed", "failed", "skipped", "seconds"], ...rows);
  print(...details);
}
const tail = (text: string): string => text.trim().split("\n").slice(-40).join("\n");

const opTests = tests.filter((file) => file.startsWith("ops/"));
runTests("Ops: against float64 oracles, and against the CPU engine", opTests);
runTests(
  "Whole models, adapters, training: against float64 reference numbers",
  tests.filter((file) => !opTests.includes(file)),
);
if (sanitize) {
  const found = spawnSync("compute-sanitizer", ["--version"]).status === 0;
  if (found) {
    for (const tool of ["memcheck", "racecheck"])
      runTests(`Ops under compute-sanitizer ${tool}`, opTests, [
        "compute-sanitizer",
        "--tool",
        tool,
        "--error-exitcode",
        "9",
      ]);
  } else {
    print("", "compute-sanitizer was asked for, and is not in PATH.");
    failed = true;
  }
}

async function section(title: string, rows: () => Promise<(string | number)[][]>): Promise<void> {
  print("", `## ${title}`);
  try {
    const found = await rows();
    if (found.some((row) => row.includes("FAILED"))) failed = true;
    table(...found);
  } catch (error) {
    failed = true;
    print("", `FAILED: ${(error as Error).stack}`);
  }
}
await section("Training: a small mixture of experts, f32, the same on both devices", trainBoth);
await section("Timings", timeOps);
print("", failed ? "**Something failed.**" : "All well.");
process.exit(failed ? 1 : 0);
