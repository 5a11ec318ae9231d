import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, symlinkSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { runTool } from "../support/run_tool.ts";
import { tempDir } from "../support/temp_dir.ts";
import { nameFaults } from "./file_rules.ts";
import { importFaults } from "./lib_rules.ts";
import { includeFaults } from "./native_rules.ts";
import { stemFaults, tableFaults, tableKernels } from "./op_rules.ts";

const root = path.resolve(import.meta.dirname, "../..");

function copyOfProject(): string {
  const copy = tempDir();
  for (const name of [
    "lib",
    "native",
    "test",
    "bench",
    "scripts",
    "package.json",
    "tsconfig.json",
    "biome.json",
  ]) {
    cpSync(path.join(root, name), path.join(copy, name), {
      recursive: true,
      filter: (file) => path.basename(file) !== "golden",
    });
  }
  symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"));
  return copy;
}

const newOp = (copy: string, name: string) =>
  spawnSync("npm", ["run", "--silent", "new-op", name], { cwd: copy, encoding: "utf8" });

test("npm run new-op writes an op that the house rules, the linter and both compilers accept", {
  timeout: 300_000,
}, () => {
  const copy = copyOfProject();
  expect(newOp(copy, "zeta_norm")).toMatchObject({ status: 0, stderr: "" });
  expect(newOp(copy, "mean_pool")).toMatchObject({ status: 0, stderr: "" });

  for (const faults of [importFaults, includeFaults, nameFaults, stemFaults, tableFaults]) {
    expect(faults(copy)).toEqual(faults(root));
  }
  const added = ["mean_pool", "mean_pool_grad", "zeta_norm", "zeta_norm_grad"];
  expect(tableKernels(copy)).toEqual([...tableKernels(root), ...added].sort());
  expect(readFileSync(path.join(copy, "lib/ops/README.md"), "utf8")).toContain("[`zetaNorm`](zeta_norm.ts)");

  const written = ["zeta_norm", "mean_pool"].flatMap((stem) => [
    `lib/ops/${stem}.ts`,
    "lib/ops/index.ts",
    `test/ops/${stem}.test.ts`,
    `bench/ops/${stem}.bench.ts`,
  ]);
  const bin = path.join(root, "node_modules/.bin");
  runTool(`${bin}/biome`, ["check", "--error-on-warnings", ...written], { cwd: copy });
  runTool(`${bin}/tsc`, ["--noEmit", "-p", copy]);
  if (spawnSync("c++", ["--version"]).status === 0) {
    const flags = [
      "-std=c++17",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-DMW_ISA=baseline",
      "-DMW_LANES=4",
      "-Inative",
    ];
    const sources = ["native/ops/zeta_norm.cpu.cc", "native/ops/kernels.cpu.cc"];
    runTool("c++", [...flags, "-fsyntax-only", ...sources], { cwd: copy });
    const emulated = ["-DMW_CUDA_EMULATED", "-Itest/native/cuda", "-Wno-unknown-pragmas", "-x", "c++"];
    runTool("c++", [...flags, ...emulated, "-fsyntax-only", "native/ops/zeta_norm.cuda.cu"], { cwd: copy });
  }
});

test("npm run new-op refuses names that are taken or not in snake_case, and writes nothing", () => {
  const copy = copyOfProject();
  expect(newOp(copy, "swiglu").stderr).toContain("native/ops/swiglu.h exists already");
  expect(newOp(copy, "fill").stderr).toContain("has a kernel fill already");
  expect(newOp(copy, "meanPool").stderr).toContain('"meanPool", a name in snake_case was needed');
  expect(newOp(copy, "swiglu").status).toBe(1);
  expect(existsSync(path.join(copy, "lib/ops/fill.ts"))).toBe(false);
  expect(tableFaults(copy)).toEqual(tableFaults(root));
});
