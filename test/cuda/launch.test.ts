import { spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "vitest";
import { runTool } from "../support/run_tool.ts";
import { tempDir } from "../support/temp_dir.ts";

const root = path.resolve(import.meta.dirname, "../..");

const flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Inative"];
const noCompiler = spawnSync("c++", ["--version"]).status !== 0;

function compileAndRun(name: string, words: readonly string[]): void {
  const program = path.join(tempDir(), name);
  runTool("c++", [...flags, `test/native/cuda/${name}.cc`, ...words, "-o", program], { cwd: root });
  runTool(program, [], { cwd: root });
}

test("which block computes which tile of which expert: the walk over tiles, on the CPU", ({ skip }) => {
  if (noCompiler) skip("not found: c++");
  compileAndRun("tile_walker_test", []);
});

test("launches, reports, copies and errors on the emulated device; neither reads nor small uploads wait", ({
  skip,
}) => {
  if (noCompiler) skip("not found: c++");
  const emulated = ["-DMW_CUDA_EMULATED", "-U_FORTIFY_SOURCE", "-Itest/native/cuda", "-Wno-unknown-pragmas"];
  const device = ["test/native/cuda/emulator.cc", "test/native/cuda/runtime.cc"];
  const engine = ["native/cuda/exec.cc", "native/core/checks.cc", "-x", "c++", "native/cuda/driver.cu"];
  compileAndRun("launch_test", [...emulated, ...device, ...engine, "native/cuda/waiter.cu", "-pthread"]);
});
