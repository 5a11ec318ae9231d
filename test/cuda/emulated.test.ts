import { execFile, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { importsOf } from "../house/lib_rules.ts";
import { tableKernels } from "../house/op_rules.ts";
import { literalsOf, type Source, sourcesIn } from "../house/sources.ts";

const root = path.resolve(import.meta.dirname, "../..");
const sources = new Map(sourcesIn(root, "lib/ops", "test/ops", "test/support").map((s) => [s.path, s]));
const twins = new Set(readdirSync(path.join(root, "native/ops")).filter((file) => file.endsWith(".cuda.cu")));

/** The kernels without a CUDA twin. */
const missingTwins = new Set(
  sourcesIn(root, "native/ops")
    .filter(({ path: file }) => file.endsWith(".h") && !twins.has(`${path.basename(file, ".h")}.cuda.cu`))
    .flatMap(({ text }) => [...text.matchAll(/^MW_OP\((\w+)/gm)].map(([, kernel]) => kernel!)),
);
const kernels = new Set(tableKernels(root));

/** The kernels that a test of ops calls, by way of the files it imports. */
function kernelsOf(source: Source, seen = new Set<string>()): string[] {
  if (seen.has(source.path)) return [];
  seen.add(source.path);
  const imported = importsOf(source).flatMap(({ to }) => sources.get(to) ?? []);
  return [
    ...literalsOf(source).filter((text) => kernels.has(text)),
    ...imported.flatMap((file) => kernelsOf(file, seen)),
  ];
}

const tests = [...sources.values()].filter(({ path: file }) => /^test\/ops\/.*\.test\.ts$/.test(file));
const ready = tests.filter((source) => !kernelsOf(source).some((kernel) => missingTwins.has(kernel)));

const baseline = path.join(root, "build/Release/obj.target/kernels_baseline.a");
const missing = [
  ...["make", "g++"].filter((tool) => spawnSync(tool, ["--version"]).status !== 0),
  ...[baseline].filter((file) => !existsSync(file)),
];

/** Runs a program without blocking this one; what it printed is the error if it fails. */
async function need(command: string, words: readonly string[], env = process.env): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, words, { cwd: root, env, maxBuffer: 1 << 28 });
    return stdout;
  } catch (error) {
    const { stdout, stderr, code, signal } = error as Record<string, unknown>;
    throw new Error(`${command} ended with ${signal ?? code}:\n${stdout}${stderr}`);
  }
}

// CUDA's kernels on a machine without a GPU: compiled as C++, each thread a fiber (test/native/cuda/emulator.h).
test("CUDA's kernels pass the tests of the ops on an emulated device", { timeout: 3_600_000 }, async ({
  skip,
}) => {
  if (missing.length > 0) skip(`not found: ${missing.join(", ")}`);
  await need("make", ["-s", "-j2", "-f", "test/native/cuda/Makefile"]);
  const env = {
    ...process.env,
    MIXWRIGHT_ENGINE: path.join(root, "build/emulated/mixwright.node"),
    MIXWRIGHT_TEST_DEVICE: "cuda",
    NO_COLOR: "1",
  };
  const vitest = path.join(root, "node_modules/vitest/vitest.mjs");
  const said = await need(process.execPath, [vitest, "run", ...ready.map(({ path: file }) => file)], env);
  expect(said).toMatch(/^[1-9]\d* passed, 0 failed, \d+ skipped$/m);
});
