import { execFile, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { cudaEnginePaths, engineFile, enginePaths } from "../../lib/core/native.ts";
import { runTool } from "./run_tool.ts";
import { tempDir } from "./temp_dir.ts";

const root = path.resolve(import.meta.dirname, "../..");

const lacks = (tool: string, ...words: string[]) => spawnSync(tool, words).status !== 0;
const noCompiler = lacks("cc", "--version") ? "not found: cc" : "";
const noNamespace = lacks("unshare", "-rm", "true") ? "no mount namespace for this user" : "";

/** Why there are no fakes made from C; empty if there are. */
export const whyNoFakes = noCompiler;
/** The same for a file of the driver in /dev. */
export const whyNoDriverFile = noCompiler || noNamespace;

/** A shared library that runs `body` when it is loaded, with more C behind if wanted. */
export function library(file: string, body: string, rest = ""): string {
  const source = `${path.join(tempDir(), "fake")}.c`;
  writeFileSync(
    source,
    `#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n${rest}
     __attribute__((constructor)) static void at_load(void) { ${body}; }`,
  );
  mkdirSync(path.dirname(file), { recursive: true });
  runTool("cc", ["-w", "-shared", "-fPIC", "-o", file, source]);
  return file;
}

/** A CUDA engine that finds a GPU, and opens devices that do nothing. */
export function engineWithGpu(file: string): string {
  const script = `({
    usableIsas: () => ["fake"], open: () => 1, close() {}, setPath() {},
    cudaDevices: () => ({ built: true, reason: "", devices: [{ name: "Fake", capability: "9.0", multiprocessors: 1, bytes: 1e9 }] }),
  })`;
  return library(
    file,
    "",
    `void napi_create_string_utf8(void*, const char*, size_t, void**); void napi_run_script(void*, void*, void**);
     void* napi_register_module_v1(void* env, void* exports) {
       void *script, *made;
       napi_create_string_utf8(env, ${JSON.stringify(script)}, (size_t)-1, &script);
       napi_run_script(env, script, &made);
       return made;
     }`,
  );
}

/** A package folder with a CPU engine, and with what loads and opens engines as JavaScript; where a CUDA engine would lie. */
export function packageWithCpu(): { root: string; built: string; prebuilt: string } {
  const copy = tempDir();
  const cpu = enginePaths(copy)[0]!;
  mkdirSync(path.dirname(cpu), { recursive: true });
  copyFileSync(engineFile(), cpu);
  const out = path.join(copy, "dist/core/device.mjs");
  runTool(
    path.join(root, "node_modules/.bin/esbuild"),
    [
      "lib/core/device.ts",
      "--bundle",
      "--platform=node",
      "--format=esm",
      "--log-level=error",
      `--outfile=${out}`,
    ],
    { cwd: root },
  );
  const [built, prebuilt] = cudaEnginePaths(copy);
  return { root: copy, built: built!, prebuilt: prebuilt! };
}

/** /dev as it is, and the file that NVIDIA's driver shows there, for one command and what it starts. */
const withDriverFile = (dev: string) => `
  mount -t tmpfs tmpfs ${dev} && cd ${dev} || exit 99
  for one in null zero random urandom; do touch $one && mount --bind /dev/$one $one; done
  ln -s /proc/self/fd fd; touch nvidiactl; mount --rbind ${dev} /dev; cd /
  exec "$@"`;

/** Runs a script in a Node process of its own, which sees the driver's file in /dev. */
export function childWithDriverFile(
  script: string,
  { flags = [] as string[], env = {} } = {},
): Promise<{ code: unknown; out: string }> {
  const dir = tempDir();
  const file = path.join(dir, "script.mjs");
  writeFileSync(file, script);
  const dev = path.join(dir, "dev");
  mkdirSync(dev);
  const words = [
    "-rm",
    "sh",
    "-c",
    withDriverFile(dev),
    "sh",
    process.execPath,
    "--no-warnings",
    ...flags,
    file,
  ];
  return new Promise((resolve) => {
    execFile(
      "unshare",
      words,
      { env: { ...process.env, MIXWRIGHT_ENGINE: "", ...env }, timeout: 45_000, killSignal: "SIGKILL" },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : (error.signal ?? error.code), out: stdout + stderr }),
    );
  });
}
