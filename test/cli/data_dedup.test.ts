import { readdirSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { minhash } from "../../lib/data/dedup/minhash.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { mixwright, objectsIn, works } from "../support/cli.ts";
import { contentOf, keptRows, nearCopies, writeRows } from "../support/dedup_files.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeTexts } from "../support/texts.ts";

test("data dedup: the same as from code, on several threads; a rerun says the same", {
  timeout: 120_000,
}, async () => {
  const dir = tempDir();
  const input = path.join(dir, "in");
  writeRows(input, nearCopies(120), 3);
  const wanted = await minhash({ input, output: path.join(dir, "code"), keep: "best", score: "score" }).run();
  const out = path.join(dir, "out");
  const args = ["data", "dedup", "--input", input, "--out", out, "--keep", "best", "--score", "score"];
  const lines = objectsIn(await works([...args, "--workers", "2", "--json"]));
  expect(lines.at(-1)).toEqual(wanted);
  expect(wanted.dropped.duplicate).toBeGreaterThan(10);
  expect(lines.filter(({ stage }) => stage === "buckets").map(({ done }) => done)).toEqual(
    Array.from({ length: 15 }, (_, done) => done),
  );
  expect(keptRows(out)).toEqual(keptRows(path.join(dir, "code")));
  const before = contentOf(out);
  expect(await works(args)).toMatch(/\nread +120\nkept +\d+\nduplicate +\d+\n$/);
  expect(contentOf(out)).toEqual(before);
});

test("data dedup: Ctrl-C ends it, and the same command goes on", { timeout: 180_000 }, async () => {
  const dir = tempDir();
  const input = path.join(dir, "in");
  writeRows(input, nearCopies(3000), 6);
  const out = path.join(dir, "out");
  const args = ["data", "dedup", "--input", input, "--out", out, "--workers", "1", "--json"];
  const stopped = await mixwright(args, {
    onLine: (line, child) => {
      if (line.includes('"stage":"signatures","done":2')) child.kill("SIGINT");
    },
  });
  expect([stopped.code, stopped.signal]).toEqual([130, null]);
  expect(stopped.stderr).toMatch(/Stopping\. .*\nStopped\. Go on: .* data dedup, with the same flags\n$/);
  expect(readdirSync(path.join(out, "state"))).not.toContain("run.lock");
  const report = objectsIn(await works(args)).at(-1);
  const whole = await minhash({ input, output: path.join(dir, "whole") }).run();
  expect(report).toEqual(whole);
  expect(keptRows(out)).toEqual(keptRows(path.join(dir, "whole")));
});

test("data dedup: what is wrong is said in a line", async () => {
  const dir = tempDir();
  const refusal = async (...args: string[]) =>
    (await mixwright(["data", "dedup", "--input", dir, "--out", path.join(dir, "out"), ...args])).stderr;
  expect(await refusal()).toContain(`dedup.minhash: ${dir} names no .jsonl file`);
  expect(await refusal("--keep", "best")).toContain('keep is "best", score is undefined');
});

test("data tokenizer: learns from files and patterns, and what it writes is read", async () => {
  const dir = tempDir();
  writeTexts(path.join(dir, "a.jsonl"));
  writeTexts(path.join(dir, "b.jsonl"), 10);
  const out = path.join(dir, "tokenizer");
  const args = [
    "data",
    "tokenizer",
    "--data",
    path.join(dir, "*.jsonl"),
    "--vocab-size",
    "280",
    "--out",
    out,
  ];
  const [report] = objectsIn(await works([...args, "--json"]));
  expect(report).toMatchObject({ tokenizer: out, vocabSize: 280, documents: 50 });
  const tokenizer = await loadTokenizer(out);
  expect(tokenizer.vocabSize).toBe(280);
  expect(tokenizer.decode(tokenizer.encode("the quick fox"))).toBe("the quick fox");
  const { stderr } = await mixwright(args.map((arg) => (arg === "280" ? "100" : arg)));
  expect(stderr).toContain("vocabSize is 100, from 257 to 30000 was needed");
});
