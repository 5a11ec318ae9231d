import { spawn } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { folderBytes, writeDocuments } from "../support/documents.ts";
import { tempDir } from "../support/temp_dir.ts";

const script = path.resolve(import.meta.dirname, "../support/pipeline_child.ts");

interface Ended {
  killed: boolean;
  report: Record<string, unknown> | undefined;
  /** From when its first word came. */
  ms: number;
}

/** Runs the child to its end, or to its SIGKILL so long after its first word. */
function run(
  args: readonly string[],
  { killAfterMs, env = {} }: { killAfterMs?: number; env?: object } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, ["--import", "tsx", script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  return new Promise((resolve, reject) => {
    let out = "";
    let from = 0;
    let timer: NodeJS.Timeout | undefined;
    child.stdout.on("data", (chunk: Buffer) => {
      from ||= performance.now();
      out += chunk;
      if (killAfterMs !== undefined) timer ??= setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code !== 0 && signal !== "SIGKILL")
        return reject(new Error(`ended with ${code ?? signal}: ${out}`));
      const last = out.trim().split("\n").at(-1)!;
      const report = last.startsWith("{") ? (JSON.parse(last) as Record<string, unknown>) : undefined;
      resolve({ killed: signal === "SIGKILL", report, ms: performance.now() - from });
    });
  });
}

test.each(["1", "2"])(
  "killed at random moments, a pipeline loses and doubles nothing (workers %s)",
  async (workers) => {
    const root = tempDir();
    writeDocuments(path.join(root, "in"), 12, 300);
    const whole = await run([path.join(root, "whole"), workers]);
    expect(whole.report).toMatchObject({ read: 3600, tasks: { run: 12, skipped: 0 } });

    const dir = path.join(root, "killed");
    const seed = Date.now();
    const random = new Random(seed);
    let kills = 0;
    let last: Ended | undefined;
    let longest = whole.ms * 0.7;
    for (let i = 0; i < 30 && !last; i++) {
      const ended = await run([dir, workers], { killAfterMs: random.uniform() * longest });
      if (ended.killed) kills++;
      else if (kills > 1) last = ended;
      else {
        // The machine was slower when the whole run was timed: once more from the beginning, and sooner.
        longest /= 2;
        kills = 0;
        rmSync(dir, { recursive: true });
      }
    }
    expect(kills, `kills, seed ${seed}`).toBeGreaterThan(1);
    last ??= await run([dir, workers]);
    const { tasks, ...counts } = last.report!;
    const { tasks: _, ...wanted } = whole.report!;
    expect(counts, `seed ${seed}`).toEqual(wanted);
    expect(tasks).toMatchObject({ total: 12 });
    for (const folder of ["kept", "rejected", "tokens"]) {
      const bytes = folderBytes(path.join(root, "whole", folder));
      expect(Object.keys(bytes).length).toBeGreaterThan(12);
      expect(folderBytes(path.join(dir, folder)), `${folder}, seed ${seed}`).toEqual(bytes);
    }
    expect(readdirSync(path.join(dir, "state/unfinished"))).toEqual([]);
  },
  300_000,
);

test("a thread that runs out of memory fails its task, and the others go through", async () => {
  const root = tempDir();
  writeDocuments(path.join(root, "in"), 4, 20);
  const env = { NODE_OPTIONS: "--max-old-space-size=128" };
  const { report } = await run([path.join(root, "out"), "2", '{"hogAt":"1-5"}'], { env });
  expect(report?.message).toMatch(/^pipeline: 1 of 4 tasks failed: task 1, worker: .*memory/);
  expect(readdirSync(path.join(root, "out/state/completions"))).toEqual([
    "00000.json",
    "00002.json",
    "00003.json",
  ]);
  expect(readdirSync(path.join(root, "out/state/unfinished"))).toEqual([]);
}, 120_000);
