import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { checkpointSteps } from "../../lib/train/checkpoint.ts";

const child = path.resolve(import.meta.dirname, "../support/train_child.ts");
const steps = 900;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "mixwright-kill-"));
});
afterAll(() => rm(root, { recursive: true }));

function start(dir: string): ChildProcess {
  return spawn(process.execPath, ["--import", "tsx", child, dir, String(steps)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Runs until it ends, or is killed `killAfterMs` after its first step. Resolves to the hash it printed, if it did. */
function runUntil(process: ChildProcess, killAfterMs?: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let output = "";
    let timer: NodeJS.Timeout | undefined;
    process.stdout!.on("data", (chunk: Buffer) => {
      output += chunk;
      if (killAfterMs !== undefined && !timer && output.includes("running")) {
        timer = setTimeout(() => process.kill("SIGKILL"), killAfterMs);
      }
    });
    process.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL" || code === 0) resolve(/finished (\w+)/.exec(output)?.[1]);
      else reject(new Error(`the run ended with ${code ?? signal}: ${output}`));
    });
  });
}

test("killed at 20 random moments, a resumed run ends with the bits of one that was not", {
  timeout: 300_000,
}, async () => {
  const whole = await runUntil(start(path.join(root, "whole")));
  expect(whole).toBeDefined();
  const dir = path.join(root, "killed");
  const random = new Random(Date.now());
  let kills = 0;
  let hash: string | undefined;
  while (kills < 20) {
    hash = await runUntil(start(dir), random.uniform() * 60);
    if (hash === undefined) kills++;
    else break; // too fast to be killed so often
  }
  expect(kills, "kills before the run was through").toBe(20);
  const reached = (await checkpointSteps(dir)).at(-1) ?? 0;
  expect(reached, "progress made between kills").toBeGreaterThan(0);
  hash = await runUntil(start(dir));
  expect(hash).toBe(whole);
});
