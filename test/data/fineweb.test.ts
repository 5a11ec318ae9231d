import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { fineweb, runFineweb } from "../../lib/data/fineweb.ts";
import { pipeline } from "../../lib/data/pipeline.ts";
import { readPipelineFile } from "../../lib/data/pipeline_file.ts";
import { openTokenFile } from "../../lib/data/token_file.ts";
import { tinyModel } from "../support/cli.ts";
import { folderBytes, gzRows } from "../support/documents.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeCrawl } from "../support/tiny_crawl.ts";

const timeoutMs = 60_000;

/** URLs of all documents below a folder. */
const urlsIn = (dir: string): string[] =>
  Object.values(gzRows(dir))
    .flat()
    .map(({ metadata }) => String(metadata.url));

test("a crawl becomes text and tokens by language; every page is kept, or dropped for a reason that is kept", {
  timeout: 120_000,
}, async () => {
  const dir = tempDir();
  const { pattern, kinds } = writeCrawl(path.join(dir, "in"), 2, 30);
  const output = path.join(dir, "out");
  const options = { input: pattern, output, timeoutMs, tokenizer: tinyModel("llama") };
  const report = await runFineweb(options);

  const wanted = { http_status: 6, gopher_short_doc: 6, duplicate: 6 };
  expect(report).toMatchObject({ read: 60, kept: 42, dropped: wanted, complete: true });
  expect(Object.keys(report.steps)).toEqual([
    ...["read.warc", "extract.mainText", "filter.language", "stats.histograms", "filter.gopherRepetition"],
    ...["filter.gopherQuality", "filter.c4", "filter.fineweb", "write.jsonl", "dedup.minhash", "format.pii"],
    ...["stats.histograms#2", "write.jsonl#2", "write.tokens"],
  ]);
  for (const [label, step] of Object.entries(report.steps)) {
    const gone = Object.values(step.dropped).reduce((sum, n) => sum + n, 0);
    expect(step.in, label).toBe(step.out + gone);
  }

  const ofKind = (...wanted: string[]) =>
    [...kinds].flatMap(([url, kind]) => (wanted.includes(kind) ? url : []));
  expect(urlsIn(path.join(output, "text")).sort()).toEqual(ofKind("prose", "contact").sort());
  expect(urlsIn(path.join(output, "rejected")).sort()).toEqual(ofKind("short", "missing").sort());
  expect(urlsIn(path.join(output, "deduplicated/removed")).sort()).toEqual(ofKind("copy").sort());
  const texts = gzRows(path.join(output, "text"));
  expect(Object.keys(texts)).toEqual(["en/00000.jsonl.gz", "en/00001.jsonl.gz"]);
  const contact = Object.values(texts)
    .flat()
    .find(({ metadata }) => metadata.url === "http://site1.example/13.html");
  expect(contact!.text).toMatch(/at (email@example\.com|firstname\.lastname@example\.org)\.$/);
  expect(contact!.metadata).toMatchObject({ title: "Page 13 of site 1", language: "en" });
  const shard = await openTokenFile(path.join(output, "tokens/en/00001.ds"));
  expect(shard.documents).toBe(21);
  await shard.close();
  expect(report.counts["write.tokens/tokens"]).toBeGreaterThan(42 * 100);

  const bytes = folderBytes(output);
  const again = await runFineweb(options);
  expect(again).toEqual({
    ...report,
    tasks: { ...report.tasks, run: 0, skipped: 4 },
    seconds: again.seconds,
    steps: {
      ...report.steps,
      "dedup.minhash": { ...report.steps["dedup.minhash"], seconds: again.steps["dedup.minhash"]!.seconds },
    },
  });
  expect(folderBytes(output)).toEqual(bytes);
  await expect(runFineweb({ ...options, preset: "fineweb2024" })).rejects.toThrow(
    /state .* is of another pipeline: step 5 was filter\.gopherRepetition .*"current".* now .*"fineweb2024"/,
  );
});

test("processes that share a crawl make what one makes; the last to end does what comes after filtering", {
  timeout: 120_000,
}, async () => {
  const dir = tempDir();
  const { pattern } = writeCrawl(path.join(dir, "in"), 3, 20);
  const output = path.join(dir, "out");
  const run = (share?: { rank: number; of: number }) =>
    runFineweb({ input: pattern, output, timeoutMs }, { share });
  const { seconds: _, ...whole } = await run();
  const bytes = folderBytes(output);
  rmSync(output, { recursive: true });

  const first = await run({ rank: 1, of: 2 });
  expect(first).toMatchObject({ complete: false, read: 20, tasks: { total: 3, run: 1, elsewhere: 2 } });
  const ended = await Promise.all([run({ rank: 0, of: 2 }), run({ rank: 1, of: 2 })]);
  const last = ended.find(({ complete }) => complete)!;
  expect(ended.map(({ complete }) => complete).sort()).toEqual([false, true]);
  expect(last).toMatchObject({ read: whole.read, kept: whole.kept, dropped: whole.dropped });
  const clean = (files: Record<string, string>) =>
    Object.fromEntries(Object.entries(files).filter(([name]) => !name.includes("completions")));
  expect(clean(folderBytes(output))).toEqual(clean(bytes));
});

test("the steps are FineWeb's, in its order, and the same as a YAML file's", {
  timeout: 60_000,
}, async () => {
  const dir = tempDir();
  const { pattern } = writeCrawl(path.join(dir, "in"), 1, 20);
  const at = (name: string): string => path.join(dir, "code", name);
  const url = { bannedWords: ["casino"] };
  const steps = fineweb({
    input: pattern,
    output: path.join(dir, "code"),
    preset: "fineweb2024",
    url,
    timeoutMs,
  });
  const code = await pipeline(steps).run();
  const file = path.join(dir, "fineweb.yaml");
  const yaml = `steps:
  - read.warc: { files: "${pattern}" }
  - filter.url: { bannedWords: [casino] }
  - extract.mainText: { timeoutMs: ${timeoutMs} }
  - filter.language: { languages: [en] }
  - stats.histograms: { dir: ${at("stats/before")} }
  - filter.gopherRepetition: { preset: fineweb2024 }
  - filter.gopherQuality: { preset: fineweb2024 }
  - filter.c4: { preset: fineweb2024, filterNoTerminalPunct: false }
  - filter.fineweb: { preset: fineweb2024 }
  - write.jsonl: { dir: ${at("filtered")}, rejected: ${at("rejected")} }
`;
  writeFileSync(file, yaml);
  const { steps: read } = await readPipelineFile(file);
  expect(read.map(({ description }) => description)).toEqual(steps.map(({ description }) => description));
  expect(code).toMatchObject({ read: 20, kept: 16, dropped: { http_status: 2, gopher_short_doc: 2 } });
});

test("what can't be is refused before anything is read", async () => {
  const output = path.join(tempDir(), "out");
  expect(() => fineweb({ input: "x", output, langauges: ["en"] } as never)).toThrow(
    /unknown option "langauges", is it languages\?/,
  );
  expect(() => fineweb({ input: "x", output: "" })).toThrow(/output is "", a folder was needed/);
  expect(() => fineweb({ input: "x", output, languages: ["English"] })).toThrow(/codes such as "en"/);
  await expect(runFineweb({ input: path.join(output, "*.warc"), output })).rejects.toThrow(/names no file/);
});
