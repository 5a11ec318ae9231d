import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { mixwright, objectsIn, works } from "../support/cli.ts";
import { folderBytes, writeDocuments } from "../support/documents.ts";
import { tempDir } from "../support/temp_dir.ts";

function pipelineFile(dir: string, files = 6, count = 200): string {
  const file = path.join(dir, "p.yaml");
  const input = writeDocuments(path.join(dir, "in"), files, count);
  const steps = [
    `read.jsonl: { files: "${input}" }`,
    `write.jsonl: { dir: ${dir}/out, splitBy: language }`,
    `write.parquet: { dir: ${dir}/rows }`,
  ];
  writeFileSync(file, `state: ${dir}/state\nsteps:\n${steps.map((step) => `  - ${step}\n`).join("")}`);
  return file;
}

test("data run: a pipeline of a file, once; a rerun does nothing and says the same", async () => {
  const dir = tempDir();
  const file = pipelineFile(dir);
  const lines = objectsIn(await works(["data", "run", file, "--workers", "2", "--json"]));
  const report = {
    read: 1200,
    kept: 1200,
    dropped: {},
    tasks: { total: 6, run: 6, skipped: 0, elsewhere: 0 },
  };
  expect(lines.at(-1)).toMatchObject(report);
  expect(
    lines
      .filter(({ state }) => state === "done")
      .map(({ task }) => task)
      .sort(),
  ).toEqual([0, 1, 2, 3, 4, 5]);
  const before = folderBytes(dir);
  const text = await works(["data", "run", file]);
  expect(text).toMatch(/^read +1200 documents\nkept +1200 \(100\.0 %\)\ntasks +0 run, 6 through before\n$/);
  expect(folderBytes(dir)).toEqual(before);
});

test("data run: the processes of torchrun share the tasks", async () => {
  const dir = tempDir();
  const file = pipelineFile(dir, 3);
  for (const [RANK, run] of [
    ["0", 2],
    ["1", 1],
  ] as const) {
    const env = { RANK, WORLD_SIZE: "2" };
    const report = objectsIn(await works(["data", "run", file, "--workers", "1", "--json"], { env })).at(-1);
    expect(report).toMatchObject({ tasks: { total: 3, run, skipped: 0, elsewhere: 3 - run } });
  }
  expect(readdirSync(path.join(dir, "rows"))).toEqual(["00000.parquet", "00001.parquet", "00002.parquet"]);
});

test("data run: Ctrl-C ends it cleanly, and a rerun goes on", { timeout: 180_000 }, async () => {
  const dir = tempDir();
  const file = pipelineFile(dir, 40, 3000);
  const stopped = await mixwright(["data", "run", file, "--workers", "2"], {
    onLine: (line, child) => {
      if (line.includes("· 3 of 40 tasks through")) child.kill("SIGINT");
    },
  });
  expect([stopped.code, stopped.signal]).toEqual([130, null]);
  expect(stopped.stderr).toMatch(
    /Stopping\. Tasks that are through stay.*\nStopped\. Go on: .* data run .*p\.yaml, with the same flags\n$/,
  );
  const through = readdirSync(path.join(dir, "state/completions")).length;
  expect(through).toBeLessThan(40);
  expect(readdirSync(path.join(dir, "rows"))).toHaveLength(through);
  const report = objectsIn(await works(["data", "run", file, "--json"])).at(-1);
  expect(report).toMatchObject({
    read: 120_000,
    kept: 120_000,
    tasks: { run: 40 - through, skipped: through },
  });
});

test("data run: what can't run is said with the line, or the flag", async () => {
  const dir = tempDir();
  const file = pipelineFile(dir, 1, 1);
  writeFileSync(file, "steps:\n  - read.jsonl: { file: x }\n");
  const refusal = async (...args: string[]) => (await mixwright(["data", ...args])).stderr;
  expect(await refusal("run", file)).toBe(
    `mixwright: ${file}:2: read.jsonl: unknown option "file", is it files? Known are files\n`,
  );
  writeFileSync(file, `steps:\n  - read.jsonl: { files: ${dir}/in }\n`);
  expect(await refusal("run", file)).toContain(
    "data run: --state needed and not given, nor state in the pipeline file",
  );
  expect(await refusal("run")).toContain("data run: --pipeline needed and not given");
  expect(await refusal("rnu")).toContain("Did you mean run?");
  expect(await refusal()).toContain("Usage: mixwright data");
});
