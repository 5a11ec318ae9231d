import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { mixwright, objectsIn, tinyModel, works } from "../support/cli.ts";
import { folderBytes } from "../support/documents.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeCrawl } from "../support/tiny_crawl.ts";

const root = path.resolve(import.meta.dirname, "../..");

/** All that comes out, but for the times in the states and the report. */
function outputs(dir: string): Record<string, string> {
  const own = Object.entries(folderBytes(dir)).filter(
    ([name]) => !/^report\.html$|^state\/\w+\/completions\//.test(name),
  );
  return Object.fromEntries(own);
}

/** Without what depends on when it was run, and how often. */
const plain = (report: Record<string, unknown>) => {
  const { seconds: _, tasks: __, steps, ...counts } = report;
  const labels = Object.entries(steps as Record<string, { seconds: number }>);
  return { ...counts, steps: labels.map(([label, { seconds: ___, ...step }]) => ({ label, ...step })) };
};

test("data fineweb: killed at random moments, it loses and doubles nothing", {
  timeout: 600_000,
}, async () => {
  const dir = tempDir();
  const { pattern } = writeCrawl(path.join(dir, "in"), 8, 50);
  const out = path.join(dir, "out");
  const args = ["data", "fineweb", "--input", pattern, "--out", out, "--workers", "2", "--json"];
  const flags = [...args, "--timeout-ms", "60000", "--tokenizer", tinyModel("llama")];
  const begun = performance.now();
  const whole = objectsIn(await works(flags)).at(-1)!;
  const ms = performance.now() - begun;
  expect(whole).toMatchObject({ read: 400, kept: 280, complete: true });
  const wanted = outputs(out);
  rmSync(out, { recursive: true });

  const seed = Date.now();
  const random = new Random(seed);
  let kills = 0;
  let longest = ms * 0.25;
  for (let tries = 0; tries < 20 && kills < 8; tries++) {
    let timer: NodeJS.Timeout | undefined;
    const killed = mixwright(flags, {
      // From its first word on, as starting takes longer than the rest.
      onLine: (_, child) => {
        timer ??= setTimeout(() => child.kill("SIGKILL"), random.uniform() * longest);
      },
    });
    const { signal } = await killed;
    clearTimeout(timer);
    if (signal === "SIGKILL") kills++;
    else if (kills > 1) break;
    else {
      // The machine was slower when the whole run was timed: once more from the beginning, and sooner.
      longest /= 2;
      kills = 0;
      rmSync(out, { recursive: true });
    }
  }
  expect(kills, `kills, seed ${seed}`).toBeGreaterThan(1);
  const last = objectsIn(await works(flags)).at(-1)!;
  expect(plain(last), `seed ${seed}`).toEqual(plain(whole));
  const found = outputs(out);
  expect(Object.keys(found), `seed ${seed}`).toEqual(Object.keys(wanted));
  for (const [name, bytes] of Object.entries(wanted))
    expect(found[name] === bytes, `${name}, seed ${seed}`).toBe(true);
  const page = readFileSync(path.join(out, "report.html"), "utf8");
  for (const word of ["dedup.minhash", "gopher_short_doc", "lines that end with a terminal mark"])
    expect(page).toContain(word);
});

/** Runs the example's script as Slurm does one job of an array, with `npx mixwright` being what was built here. */
function arrayJob(bin: string, args: readonly string[], task: number, count: number): Promise<string> {
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env.PATH}`,
    SLURM_JOB_ID: String(100 + task),
    SLURM_ARRAY_JOB_ID: "100",
    SLURM_ARRAY_TASK_ID: String(task),
    SLURM_ARRAY_TASK_COUNT: String(count),
    SLURM_ARRAY_TASK_MIN: "0",
    SLURM_ARRAY_TASK_STEP: "1",
    SLURM_PROCID: "0",
    SLURM_NTASKS: "1",
    SLURM_CPUS_PER_TASK: "2",
  };
  const script = path.join(root, "examples/fineweb.sbatch");
  return new Promise((resolve, reject) => {
    execFile("bash", [script, ...args], { env }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stderr}`));
      else resolve(stdout);
    });
  });
}

test("the example for Slurm: the jobs of an array together make what one run makes", {
  timeout: 300_000,
}, async () => {
  const dir = tempDir();
  const bin = path.join(dir, "bin");
  mkdirSync(bin);
  const npx = `#!/bin/sh\nshift\nexec "${process.execPath}" "${path.join(root, "dist/cli/main.js")}" "$@"\n`;
  writeFileSync(path.join(bin, "npx"), npx);
  chmodSync(path.join(bin, "npx"), 0o755);
  const { pattern } = writeCrawl(path.join(dir, "in"), 5, 20);
  const out = path.join(dir, "out");
  const more = ["--json", "--timeout-ms", "60000"];
  const whole = await works(["data", "fineweb", "--input", pattern, "--out", out, ...more]);
  const wanted = outputs(out);
  rmSync(out, { recursive: true });

  const jobs = [0, 1, 2].map((task) => arrayJob(bin, [pattern, out, ...more], task, 3));
  const reports = (await Promise.all(jobs)).map((stdout) => objectsIn(stdout).at(-1)!);
  const last = reports.filter(({ complete }) => complete);
  expect(last).toHaveLength(1);
  expect(plain(last[0]!)).toEqual(plain(objectsIn(whole).at(-1)!));
  expect(outputs(out)).toEqual(wanted);
});

test("data fineweb: what is wrong is said in a line", async () => {
  const refusal = async (...args: string[]) => (await mixwright(["data", "fineweb", ...args])).stderr;
  const out = path.join(tempDir(), "out");
  expect(await refusal("--input", "x/*.warc.gz")).toContain("data fineweb: --out needed and not given");
  expect(await refusal("--input", "none/*.warc.gz", "--out", out)).toMatch(
    /^mixwright: read\.warc: .*none\/\*\.warc\.gz names no file, at least one was needed\n$/,
  );
  expect(await refusal("--input", "x", "--out", out, "--preset", "2024")).toContain(
    '--preset is "2024", one of current, fineweb2024 was needed',
  );
});
