import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** The package's own folder, seen from lib/core or dist/core. */
export const packageRoot = path.resolve(import.meta.dirname, "../..");

/** How to come to a CUDA engine from where the reader stands. */
export const cudaBuild = existsSync(path.join(packageRoot, "scripts/build_cuda.ts"))
  ? `npm run build:cuda in ${packageRoot} makes one (nvcc 13 and cmake are needed)`
  : "Install mixwright anew, or npm run build:cuda in a clone of its repository makes one, whose file MIXWRIGHT_ENGINE can name";

export interface CudaDevices {
  /** Does this engine hold CUDA kernels? */
  built: boolean;
  /** Why there is no device; empty if there is one. */
  reason: string;
  devices: { name: string; capability: string; multiprocessors: number; bytes: number }[];
}

/** What the system shows where NVIDIA's driver is loaded: on Linux, and in Linux on Windows. */
const driverFiles = ["/dev/nvidiactl", "/dev/dxg"];

/** Why it isn't worth asking the driver for devices; empty: it seems to be there. */
export const whyNoDriver = (files: readonly string[] = driverFiles): string =>
  files.some((file) => existsSync(file)) ? "" : "no NVIDIA driver was found";

/** A thread ends the trial should the process that asks be gone by then: the main thread may hang in the driver. */
const question = `
  const [engine, workerData] = process.argv.slice(1);
  const end = "setTimeout(() => process.kill(-process.pid, 'SIGKILL'), require('node:worker_threads').workerData)";
  new (require("node:worker_threads").Worker)(end, { eval: true, workerData: Number(workerData) }).unref();
  const { devices, reason } = require(engine).cudaDevices();
  console.log(JSON.stringify({ devices: devices.length, reason }));
`;

/**
 * Loads an engine in a process of its own and asks it for devices: a binary or a driver that crashes or hangs takes nothing
 * else with it. Resolves with why there is none; empty if there is one.
 */
export async function probe(engine: string, limitMs = 10_000): Promise<string> {
  const what = `the CUDA engine ${engine}, tried in a process of its own,`;
  const { NODE_OPTIONS: _, ...env } = process.env;
  let child: ChildProcessByStdio<null, Readable, Readable>;
  try {
    child = spawn(process.execPath, ["-e", question, engine, String(limitMs + 1000)], {
      env,
      detached: true, // a process group, which ends as one: a driver may start processes too
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    return `${what} could not be asked (${(error as Error).message})`;
  }
  const end = () => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {} // all of it has ended
  };
  process.once("exit", end);
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  const closed = new Promise((resolve) => child.once("close", resolve));
  const timer = new AbortController();
  try {
    const exit = once(child, "exit") as Promise<[number | null, string | null]>;
    const outcome = await Promise.race([exit, sleep(limitMs, undefined, { signal: timer.signal })]);
    if (outcome === undefined) return `${what} gave no answer within ${limitMs / 1000} s`;
    end();
    await Promise.race([closed, sleep(100)]); // who has left the group may hold the pipes open
    const [status, signal] = outcome;
    if (signal !== null) return `${what} ended it by ${signal}${firstLine(texts.stderr)}`;
    return (
      answerIn(texts.stdout) ?? `${what} does not load (exit status ${status}${firstLine(texts.stderr)})`
    );
  } catch (error) {
    return `${what} could not be asked (${(error as Error).message})`;
  } finally {
    timer.abort();
    end();
    process.off("exit", end);
    child.unref();
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

function answerIn(stdout: string): string | undefined {
  try {
    const answer = JSON.parse(stdout.trim().split("\n").at(-1)!) as { devices: number; reason: string };
    return answer.devices > 0 ? "" : answer.reason;
  } catch {
    return undefined;
  }
}

/** What an error printed by Node says in a line, in front of which it shows the source and the place. */
function firstLine(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const line = lines.find((text) => /^\w*Error: /.test(text)) ?? lines[0];
  return line === undefined ? "" : `: ${line.replace(/^\w*Error: /, "")}`;
}

/** Is it a fault, and not just a machine without CUDA? Then the CPU isn't taken for "auto" without a word. */
export const isFault = (reason: string): boolean =>
  /process of its own|answers with error|came first/.test(reason);

/** May another file of the engine do better? */
export const isFileAtFault = (reason: string): boolean => /does not load \(exit|ended it by/.test(reason);

const goWithout = "MIXWRIGHT_ENGINE=cpu goes without CUDA, and without this trial";

/** What to do about a reason why there is no CUDA device. */
export function wayOut(reason: string): string {
  const found = [
    ["no CUDA engine", cudaBuild],
    ["without CUDA", cudaBuild],
    ["came first", 'Open "cuda" or "auto" before "cpu", or set MIXWRIGHT_ENGINE=cuda'],
    ["could not be asked", `Node's --allow-child-process allows it. ${goWithout}`],
    ["gave no answer", `nvidia-smi shows whether the driver answers. ${goWithout}`],
    ["process of its own", `Where nvidia-smi works, the file is at fault: ${cudaBuild}. ${goWithout}`],
    ["no NVIDIA driver", "Install NVIDIA's driver, 580 or newer; a container needs the GPU passed in"],
    [
      "driver's library",
      "Install the driver's libraries, of the kernel module's version; a container gets them with NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    ],
    ["too old", "Install a newer driver, 580 at least"],
    ["finds no device", "CUDA_VISIBLE_DEVICES may hide it; nvidia-smi lists what the driver sees"],
    ["error 802", "It waits for its fabric manager: systemctl start nvidia-fabricmanager"],
    [
      "error 803",
      "The driver's libraries and its kernel module differ in version: reboot after an update, and bring no libcuda.so.1 into a container",
    ],
    [
      "answers with error",
      "nvidia-smi shows whether it works at all; modprobe nvidia_uvm or a reboot may mend it, in a container passing the GPU in",
    ],
    ["MIXWRIGHT_ENGINE", "Unset it, or set it to cuda"],
  ].find(([words]) => reason.includes(words!));
  return found?.[1] ?? "nvidia-smi shows what the driver sees";
}
