import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
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

/**
 * The stream, the ops, and whole models: forward, backward, adapters and training steps against float64 reference numbers.
 */
const checks = [
  "test/core/device",
  "test/core/tensor",
  "test/cuda/waits",
  "test/train/failures",
  "test/ops",
  "test/models/oracle",
  "test/adapters/oracle",
  "test/train/oracle",
  "test/optim/rules",
];

// CUDA's kernels on a machine without a GPU: compiled as C++, each thread a fiber (test/native/cuda/emulator.h).
test("CUDA's kernels pass the tests of ops and models on an emulated device", { timeout: 3_600_000 }, async ({
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
  const pass = async (files: readonly string[], more = {}) => {
    const said = await need(process.execPath, [vitest, "run", ...files], { ...env, ...more });
    expect(said).toMatch(/^[1-9]\d* passed, 0 failed, \d+ skipped$/m);
  };
  await pass(checks);
  await pass(["test/ops/attention"], { EMULATED_SHARED_KB: "99" }); // smaller GPUs take smaller tiles
});
