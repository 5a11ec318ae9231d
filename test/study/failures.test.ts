import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import type { RunRow } from "../../lib/study/rows.ts";
import type { StudyOptions } from "../../lib/study/settings.ts";
import { runStudy } from "../../lib/study/study.ts";
import { readCsv, tinyStudy } from "../support/tiny_study.ts";

async function rowsOf(options: StudyOptions): Promise<RunRow[]> {
  const rows: RunRow[] = [];
  for await (const row of runStudy(options)) rows.push(row);
  return rows;
}

test("a run whose loss isn't finite is a row that says so, and the study goes on", async () => {
  const study = tinyStudy();
  const methods = [{ method: "full" as const, lr: [1e30, 1e-3] }];
  const [bad, good] = await rowsOf({ ...study, methods, points: 1 });
  expect(bad).toMatchObject({ run: "full-lr1e+30-s0", status: "failed", step: 0 });
  expect(bad!.reason).toMatch(/^device: pretrain: the loss or its gradient is not finite at step \d/);
  expect(bad!.parameters).toBe(good!.parameters);
  expect(good).toMatchObject({ status: "done", step: 8 });
  expect(good!.learned).toBeGreaterThan(0);
  const { columns, rows } = readCsv(path.join(study.out, "runs.csv"));
  expect(rows.map((row) => row[columns.indexOf("status")])).toEqual(["failed", "done"]);
  expect(existsSync(path.join(study.out, "runs", good!.run, "checkpoints"))).toBe(false);
});

test("a run that needs more than its memory is a row; with more of it, it is done again", async () => {
  const study = tinyStudy();
  const [full, lora] = await rowsOf({ ...study, steps: 2 });
  expect(full!.peakBytes).toBeGreaterThan(lora!.peakBytes!);
  const again = { ...study, steps: 2, out: `${study.out}2` };
  const memoryLimitBytes = Math.round((full!.peakBytes! + lora!.peakBytes!) / 2);
  const limited = await rowsOf({ ...again, memoryLimitBytes });
  expect(limited).toMatchObject([{ status: "failed" }, { status: "done", newLoss: lora!.newLoss }]);
  expect(limited[0]!.reason).toMatch(/^out of memory: tensor: .* the limit is \d+/);
  const kept = await rowsOf({ ...again, resume: true });
  expect(kept).toEqual(limited);
  const retried = await rowsOf({ ...again, resume: true, retryFailed: true });
  expect(retried.find(({ method }) => method === "full")).toMatchObject({
    status: "done",
    newLoss: full!.newLoss,
  });
});

test("a run whose process is killed is a row", async () => {
  const study = { ...tinyStudy(), methods: ["full"], steps: 100_000, points: 1 };
  const killed = setInterval(() => {
    try {
      // The child's own command line names the folder.
      const pids = execFileSync("pgrep", ["-f", `${study.out} full-lr0.003-s0`], { encoding: "utf8" });
      for (const pid of pids.split("\n").filter(Boolean)) process.kill(Number(pid), "SIGKILL");
    } catch {
      return; // not yet there
    }
  }, 200);
  const [row] = await rowsOf(study).finally(() => clearInterval(killed));
  expect(row).toMatchObject({ status: "failed", reason: expect.stringContaining("ended by SIGKILL") });
});

test("what is wrong with the study, not with a run, is an error", async () => {
  const study = tinyStudy();
  await expect(rowsOf({ ...study, model: "/nowhere" })).rejects.toThrow(/study, base model: .*nowhere/);
  await expect(rowsOf({ ...study, data: "/nowhere", out: `${study.out}1` })).rejects.toThrow(/nowhere/);
  const first = { ...study, out: `${study.out}2`, methods: ["lora:4"], steps: 1, points: 1 };
  await rowsOf(first);
  await expect(rowsOf(first)).rejects.toThrow("holds an earlier run");
  await expect(rowsOf({ ...first, resume: true, batchTokens: 128 })).rejects.toThrow(
    "batchTokens is 128, the run in",
  );
  writeFileSync(first.newHeldOut, '{"text": "another one"}\n');
  await expect(rowsOf({ ...first, resume: true })).rejects.toThrow("is not what it was when the study");
});
