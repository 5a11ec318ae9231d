import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { mixwright, objectsIn, works } from "../support/cli.ts";
import { numbersOf, tinyStudy, writeStudy } from "../support/tiny_study.ts";

const program = path.resolve(import.meta.dirname, "../../dist/cli/main.js");

test("killed at random moments, a study goes on to the same tables", { timeout: 300_000 }, async () => {
  const study = { ...tinyStudy("mixtral"), steps: 40, points: 4, checkpointEvery: 3 };
  const config = writeStudy(study);
  const whole = `${study.out}-whole`;
  const from = performance.now();
  await works(["study", "--config", config, "--out", whole]);
  const wholeMs = performance.now() - from;
  const args = ["study", "--config", config, "--out", study.out, "--checkpoint-every", "2", "--resume"];
  const seed = Date.now();
  const random = new Random(seed);
  let kills = 0;
  let resumed = 0;
  for (; kills < 8; kills++) {
    const child = spawn(process.execPath, [program, ...args], { stdio: "ignore" });
    // The first one as soon as a run has a checkpoint.
    const watch = setInterval(() => kills === 0 && inTheMiddle(study.out) && child.kill("SIGKILL"), 5);
    const afterMs = kills === 0 ? 100_000 : random.uniform() * 0.7 * wholeMs;
    const end = await ended(child, afterMs).finally(() => clearInterval(watch));
    if (end !== "SIGKILL") break;
    if (inTheMiddle(study.out)) resumed++;
  }
  expect(resumed, `kills in the middle of a run, seed ${seed}`).toBeGreaterThan(0);
  await works(args);
  expect(numbersOf(study.out), `seed ${seed}, ${resumed} of ${kills} kills within a run`).toEqual(
    numbersOf(whole),
  );
});

/** Is there a run with a checkpoint and without a result? */
const inTheMiddle = (out: string): boolean =>
  ["full-lr0.003-s0", "lora-r4-all-lr0.003-s0"].some(
    (run) =>
      existsSync(path.join(out, "runs", run, "checkpoints")) &&
      !existsSync(path.join(out, "runs", run, "result.json")),
  );

/** Kills a process after a while, and says how it ended. */
function ended(child: ChildProcess, afterMs: number): Promise<number | NodeJS.Signals | null> {
  const timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve(code ?? signal);
    });
  });
}

test("Ctrl-C stops after the running step and says how to go on", { timeout: 120_000 }, async () => {
  const study = { ...tinyStudy(), methods: ["lora:2", "full"], steps: 4, points: 1 };
  const config = writeStudy(study);
  const { code, stdout, stderr } = await mixwright(
    ["study", "--config", config, "--out", study.out, "--json"],
    {
      onLine: (line, child) => void (line.startsWith('{"run":"lora') && child.kill("SIGINT")),
    },
  );
  expect(objectsIn(stdout).map(({ run, status }) => [run, status])).toEqual([
    ["lora-r2-all-lr0.003-s0", "done"],
  ]);
  expect(stderr).toContain("Stopping after the steps that are running.");
  expect(stderr).toContain(`Stopped after 1 of 2 runs. Go on: mixwright study --resume --out ${study.out}\n`);
  expect(code).toBe(130);
  const rest = await works(["study", "--resume", "--out", study.out, "--json"]);
  expect(objectsIn(rest).map(({ run }) => run)).toEqual(["lora-r2-all-lr0.003-s0", "full-lr0.003-s0"]);
  expect(readFileSync(path.join(study.out, "report.html"), "utf8")).toContain("2 of 2");
});

test("a run is stopped in its middle, with a checkpoint", { timeout: 120_000 }, async () => {
  const study = { ...tinyStudy(), methods: ["full"], steps: 100_000, points: 1 };
  const config = writeStudy(study);
  const metrics = path.join(study.out, "runs/full-lr0.003-s0/metrics.jsonl");
  const child = spawn(process.execPath, [program, "study", "--config", config, "--out", study.out], {
    stdio: "ignore",
    detached: true,
  });
  const watch = setInterval(() => {
    if (!existsSync(metrics)) return;
    clearInterval(watch);
    process.kill(-child.pid!, "SIGINT"); // to the whole group, as a terminal does
  }, 100);
  const code = await ended(child, 100_000);
  clearInterval(watch);
  expect(code).toBe(130);
  expect(existsSync(path.join(path.dirname(metrics), "checkpoints"))).toBe(true);
});
