import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { z } from "zod";
import { wayOut } from "../core/cuda_probe.ts";
import { cudaDevices, cudaEngineFile, engineFile, native, readyEngine } from "../core/native.ts";
import { command, jsonOption } from "./options.ts";
import { printJson, printTable, shortBytes } from "./output.ts";

interface Check {
  name: string;
  value: string;
  /** What is wrong, and what mends it. */
  problem?: string;
  fatal?: boolean;
}

export default command({
  options: z.strictObject(jsonOption),
  run: async ({ json }) => {
    await readyEngine(true);
    const checks = [
      nodeCheck(),
      {
        name: "platform",
        value: `${process.platform}-${process.arch}, ${cpus()[0]?.model ?? "unknown processor"}`,
      },
      engineCheck(),
      { name: "threads", value: String(availableParallelism()) },
      memoryCheck(),
      ...cudaChecks(),
      await tokenizersCheck(),
    ];
    const ok = !checks.some(({ fatal }) => fatal);
    if (json) printJson({ ok, ...Object.fromEntries(checks.map(({ name, ...rest }) => [name, rest])) });
    else
      printTable(
        checks.map(({ name, value, problem }) => [name, problem ? `${value}\n  ! ${problem}` : value]),
      );
    if (!ok) process.exitCode = 1;
  },
});

function nodeCheck(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const fine = major > 20 || (major === 20 && minor >= 19);
  const check = { name: "node", value: process.version };
  return fine ? check : { ...check, problem: "20.19 or newer is needed: https://nodejs.org", fatal: true };
}

function engineCheck(): Check {
  try {
    const isas = native().usableIsas();
    return { name: "engine", value: `${engineFile()} (${isas.join(", ")})` };
  } catch (error) {
    return { name: "engine", value: "does not load", problem: (error as Error).message, fatal: true };
  }
}

/** Which CUDA engine there is, and a line for each device, or the reason why there is none: nothing that has to be mended. */
function cudaChecks(): (Check & { devices?: ReturnType<typeof cudaDevices>["devices"] })[] {
  let found: ReturnType<typeof cudaDevices>;
  try {
    found = cudaDevices();
  } catch {
    return [{ name: "CUDA", value: "unknown, as no engine loads" }];
  }
  const { devices, reason } = found;
  const file = cudaEngineFile();
  const built = file === undefined ? "not built" : `built (${file})`;
  if (devices.length === 0)
    return [{ name: "CUDA", value: `${built}, no device: ${reason}. ${wayOut(reason)}`, devices }];
  const lines = devices.map(
    ({ name, capability, multiprocessors, bytes }, i) =>
      `cuda:${i}: ${name}, capability ${capability}, ${multiprocessors} multiprocessors, ${shortBytes(bytes)}`,
  );
  return [{ name: "CUDA", value: [built, ...lines].join("\n  "), devices }];
}

function memoryCheck(): Check {
  const limit = process.constrainedMemory();
  const limited = limit > 0 && limit < totalmem() ? `, this process may use ${shortBytes(limit)}` : "";
  return { name: "memory", value: `${shortBytes(totalmem())}, ${shortBytes(freemem())} free${limited}` };
}

async function tokenizersCheck(): Promise<Check> {
  try {
    await import("tokenizers");
    return { name: "tokenizers", value: "loads" };
  } catch (error) {
    return {
      name: "tokenizers",
      value: "does not load",
      problem: `${(error as Error).message.split("\n")[0]} Install the packages again: npm install`,
      fatal: true,
    };
  }
}
