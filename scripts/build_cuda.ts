/**
 * npm run build:cuda: the CUDA engine in build-cuda/, and a table of its kernels: registers, shared memory, spills.
 * With --prebuilt a stripped copy goes to prebuilds/, from where the package ships it.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { cudaEnginePaths } from "../lib/core/native.ts";
import { kernelsIn, kernelTable } from "./kernel_table.ts";

const root = path.resolve(import.meta.dirname, "..");
const out = path.join(root, "build-cuda");

const missing = ["nvcc", "cmake"].filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
if (missing.length > 0) {
  console.error(
    `build:cuda: ${missing.join(" and ")} not found, needed are CUDA's toolkit 13 or newer and cmake`,
  );
  process.exit(1);
}

function need(command: string, words: string[]): void {
  const env = { CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()), ...process.env };
  const { status } = spawnSync(command, words, { cwd: root, env, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
need("cmake-js", ["build", "--directory", "native", "--out", out, "--log-level", "warn"]);

const logs = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".cu.o.log"),
);
const kernels = logs.flatMap((file) => {
  const source = path.basename(file, ".o.log");
  return kernelsIn(readFileSync(path.join(out, file), "utf8")).map((kernel) => ({ ...kernel, source }));
});
console.log(kernelTable(kernels));

const [built, prebuilt] = cudaEnginePaths(root);
console.log(`${path.relative(root, built!)}: ${(statSync(built!).size / 1e6).toFixed(1)} MB`);
if (process.argv.includes("--prebuilt")) {
  mkdirSync(path.dirname(prebuilt!), { recursive: true });
  need("strip", ["-o", prebuilt!, built!]);
  console.log(`${path.relative(root, prebuilt!)}: ${(statSync(prebuilt!).size / 1e6).toFixed(1)} MB`);
}
