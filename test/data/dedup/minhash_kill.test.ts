import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Random } from "../../../lib/core/random.ts";
import { minhash } from "../../../lib/data/dedup/minhash.ts";
import { contentOf, nearCopies, writeRows } from "../../support/dedup_files.ts";
import { tempDir } from "../../support/temp_dir.ts";

const child = path.resolve(import.meta.dirname, "../../support/minhash_child.ts");

/** Runs until it ends, or is killed some time after its first word. Resolves to how long it ran from there, or null if killed. */
function runUntil(
  input: string,
  output: string,
  killAfterMs = Number.POSITIVE_INFINITY,
): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const run = spawn(process.execPath, ["--import", "tsx", child, input, output], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let begun = 0;
    let timer: NodeJS.Timeout | undefined;
    run.stdout.on("data", () => {
      begun ||= performance.now();
      if (killAfterMs < Number.POSITIVE_INFINITY)
        timer ??= setTimeout(() => run.kill("SIGKILL"), killAfterMs);
    });
    run.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL") resolve(null);
      else if (code === 0) resolve(performance.now() - begun);
      else reject(new Error(`the run ended with ${code ?? signal}`));
    });
  });
}

test("killed at random moments, a run that goes on ends with the bytes of one that was not", {
  timeout: 300_000,
}, async () => {
  const dir = tempDir();
  const input = path.join(dir, "in");
  writeRows(input, nearCopies(400, { words: 80 }), 5);
  const whole = path.join(dir, "whole");
  await minhash({ input, output: whole, memoryBytes: 20_000 }).run({ workers: 1 });
  const output = path.join(dir, "killed");
  const ms = (await runUntil(input, path.join(dir, "timed")))!;
  const random = new Random(Date.now());
  let kills = 0;
  let longest = ms * 0.4;
  for (let tries = 0; tries < 30 && kills < 8; tries++) {
    if ((await runUntil(input, output, random.uniform() * longest)) === null) kills++;
    else if (kills > 2) break;
    else {
      // The machine was slower when the run was timed: once more from the beginning, and sooner.
      longest /= 2;
      kills = 0;
      rmSync(output, { recursive: true });
    }
  }
  expect(kills).toBeGreaterThan(2);
  await runUntil(input, output);
  // run.json names the output folder.
  const clean = ({ "state/run.json": _, ...rest }: Record<string, string>) => rest;
  expect(clean(contentOf(output))).toEqual(clean(contentOf(whole)));
});
