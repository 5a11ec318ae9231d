import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

/**
 * How far the process's memory grows over what it holds now, at most, while `work` runs: pages in memory as Linux counts them,
 * so that scratch memory and what the allocator keeps are in it.
 */
export async function growthOf(work: () => Promise<void>): Promise<number> {
  await writeFile("/proc/self/clear_refs", "5"); // the peak starts anew
  const before = await resident("VmRSS");
  await work();
  return (await resident("VmHWM")) - before;
}

async function resident(line: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile("/proc/self/status", "utf8");
  return Number(new RegExp(`${line}:\\s+(\\d+) kB`).exec(status)![1]) * 1024;
}

/** What a subject of memory_child.ts says, measured in a process of its own. */
export async function grownAlone(subject: "step" | "head", isa: string): Promise<number> {
  const script = path.join(import.meta.dirname, "memory_child.ts");
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script, subject, isa]);
  return Number(stdout);
}
