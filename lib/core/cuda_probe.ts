import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

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

const question = `
  const { devices, reason } = require(process.argv[1]).cudaDevices();
  console.log(JSON.stringify({ devices: devices.length, reason }));
`;

/**
 * Loads an engine in a process of its own and asks it for devices: a binary or a driver that crashes or hangs takes nothing
 * else with it. Returns why there is none; empty if there is one.
 */
export function probe(engine: string, limitMs = 30_000): string {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { status, signal, stdout, stderr, error } = spawnSync(process.execPath, ["-e", question, engine], {
    env,
    encoding: "utf8",
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  const what = `the CUDA engine ${engine}, tried in a process of its own,`;
  if (error !== undefined && (error as NodeJS.ErrnoException).code === "ETIMEDOUT")
    return `${what} gave no answer within ${limitMs / 1000} s`;
  if (error !== undefined) return `${what} could not be asked (${error.message})`;
  if (signal !== null) return `${what} ended it by ${signal}${firstLine(stderr)}`;
  try {
    const answer = JSON.parse(stdout.trim().split("\n").at(-1)!) as { devices: number; reason: string };
    return answer.devices > 0 ? "" : answer.reason;
  } catch {
    return `${what} does not load (exit status ${status}${firstLine(stderr)})`;
  }
}

/** What an error printed by Node says in a line, in front of which it shows the source and the place. */
function firstLine(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const line = lines.find((text) => /^\w*Error: /.test(text)) ?? lines[0];
  return line === undefined ? "" : `: ${line.replace(/^\w*Error: /, "")}`;
}

/** What to do about a reason why there is no CUDA device. */
export function wayOut(reason: string): string {
  const found = [
    ["no CUDA engine", "npm run build:cuda makes one (nvcc 13 and cmake are needed)"],
    ["without CUDA", "npm run build:cuda makes one with it (nvcc 13 and cmake are needed)"],
    ["no NVIDIA driver", "Install NVIDIA's driver, 580 or newer; a container needs the GPU passed in"],
    ["too old", "Install a newer driver, 580 at least"],
    ["finds no device", "CUDA_VISIBLE_DEVICES may hide it; nvidia-smi lists what the driver sees"],
    ["process of its own", "MIXWRIGHT_ENGINE=cuda loads it nevertheless, and shows what happens"],
    ["MIXWRIGHT_ENGINE", "Unset it, or set it to cuda"],
  ].find(([words]) => reason.includes(words!));
  return found?.[1] ?? "npx mixwright doctor shows what this machine has";
}
