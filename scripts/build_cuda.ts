/**
 * npm run build:cuda: the CPU engine, the CUDA engine in build-cuda/, and a table of its kernels: registers, shared memory, spills.
 * With --prebuilt a stripped copy goes to prebuilds/, from where the package ships it.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { cudaEnginePaths } from "../lib/core/native.ts";
import { findToolkit } from "./cuda_toolkit.ts";
import { kernelsIn, kernelTable } from "./kernel_table.ts";

const root = path.resolve(import.meta.dirname, "..");
const out = path.join(root, "build-cuda");

let toolkit: ReturnType<typeof findToolkit>;
try {
  toolkit = findToolkit();
} catch (error) {
  console.error(`build:cuda: ${(error as Error).message}`);
  process.exit(1);
}
const { nvcc, architectures } = toolkit;

function need(command: string, words: string[]): void {
  const env = {
    CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()),
    ...process.env,
    CUDACXX: nvcc,
    CUDAARCHS: architectures,
  };
  const { status } = spawnSync(command, words, { cwd: root, env, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
need("npm", ["run", "build:native"]);
// From its cache CMake would take the compiler and the architectures of the build before, or those of a configure that failed.
rmSync(path.join(out, "CMakeCache.txt"), { force: true });
for (const step of ["configure", "build"])
  need("cmake-js", [step, "--directory", "native", "--out", out, "--log-level", "warn"]);

const logs = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".cu.o.log"),
);
const kernels = logs.flatMap((file) => {
  const source = path.basename(file, ".o.log");
  return kernelsIn(readFileSync(path.join(out, file), "utf8")).map((kernel) => ({ ...kernel, source }));
});
console.log(kernelTable(kernels));

const [built, prebuilt] = cudaEnginePaths(root);
const sizeOf = (file: string) => `${path.relative(root, file)}: ${(statSync(file).size / 1e6).toFixed(1)} MB`;
console.log(`${sizeOf(built!)}, code for ${architectures}`);
if (process.argv.includes("--prebuilt")) {
  mkdirSync(path.dirname(prebuilt!), { recursive: true });
  need("strip", ["-o", prebuilt!, built!]);
  console.log(sizeOf(prebuilt!));
}
