import { execFile, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { runTool } from "../support/run_tool.ts";
import { tempDir } from "../support/temp_dir.ts";

const root = path.resolve(import.meta.dirname, "../..");
const gyp = JSON.parse(readFileSync(path.join(root, "binding.gyp"), "utf8"));
const sources = JSON.parse(readFileSync(path.join(root, "native/sources.gypi"), "utf8")).variables;

const kernels: string[] = sources.cpu_sources;
const engine: string[] = sources.core_sources.filter((file: string) => !file.startsWith("native/binding/"));
const checks = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".cc"))
  .map((file) => `test/native/${file}`);

const baseline = gyp.targets.find(
  (target: { target_name: string }) => target.target_name === "kernels_baseline",
);
const kernelFlags: string[] = [
  ...gyp.variables.kernel_flags,
  ...baseline.defines.map((name: string) => `-D${name}`),
];
const flags: string[] = [...gyp.target_defaults.cflags_cc, "-Inative", "-Werror"];
const compiledHere = path.join(root, "build/Release/obj.target/kernels_baseline.a");

const missing = [
  ...["c++", "aarch64-linux-gnu-g++", "qemu-aarch64"].filter(
    (tool) => spawnSync(tool, ["--version"]).status !== 0,
  ),
  ...[compiledHere].filter((file) => !existsSync(file)),
];

/** Compiles files, as many at a time as there are processors, and links them. */
async function build(compiler: string, files: readonly string[], words: readonly string[]): Promise<string> {
  const folder = tempDir();
  const waiting = [...files];
  const objects: string[] = [];
  const compile = async () => {
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
      const object = path.join(folder, `${path.basename(file)}.o`);
      const own = kernels.includes(file) ? kernelFlags : ["-O2"];
      objects.push(object);
      await promisify(execFile)(compiler, [...flags, ...own, "-c", file, "-o", object], { cwd: root });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, compile));
  const program = path.join(folder, "check_kernels");
  runTool(compiler, [...objects, ...words, "-pthread", "-o", program]);
  return program;
}

test("the build for every processor has no flags of one", () => {
  expect([...flags, ...kernelFlags].filter((flag) => flag.startsWith("-m"))).toEqual([]);
  expect(kernelFlags).toContain("-O3");
});

test("kernels compiled for arm64 compute what double loops and this machine's compute", {
  timeout: 900_000,
}, async ({ skip }) => {
  if (missing.length > 0) skip(`not found: ${missing.join(", ")}`);
  const here = await build("c++", [...engine, ...checks], [compiledHere]);
  const output = `${here}.out`;
  expect(runTool(here, [output])).toMatch(/^[0-9]+ runs, 0 faults/);

  const there = await build("aarch64-linux-gnu-g++", [...kernels, ...engine, ...checks], ["-static"]);
  const said = runTool("qemu-aarch64", [there, `${there}.out`, output]);
  expect(said).toMatch(/^[0-9]+ runs, 0 faults, [1-9][0-9]* of/);
});
