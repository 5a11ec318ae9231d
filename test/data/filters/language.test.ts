import { readFileSync } from "node:fs";
import path from "node:path";
import { Worker } from "node:worker_threads";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { Verdict } from "../../../lib/data/document.ts";
import { type LanguageOptions, language } from "../../../lib/data/filters/language.ts";
import { sharedPath } from "../../support/shared_data.ts";
import { documentOf } from "../../support/verdicts.ts";

const apply = async (text: string, options: LanguageOptions = {}): Promise<Verdict> =>
  language(options).apply(documentOf(text));

const english = "Everyone has the right to a nationality, and no one shall be deprived of it.";
const german = "Jeder hat das Recht auf eine Staatsangehörigkeit.\nNiemandem darf sie entzogen werden.";

async function scoreOf(text: string): Promise<number> {
  const verdict = await apply(text, { labelOnly: true });
  return verdict.keep ? (verdict.metadata!.languageScore as number) : Number.NaN;
}

test("a document in a wanted language is kept, and its language written down", async () => {
  const verdict = await apply(english, { languages: "en" });
  expect(verdict).toEqual({
    keep: true,
    text: english,
    metadata: { language: "en", languageScore: expect.closeTo(0.97, 1) },
  });
  expect(await apply(german, { languages: ["en", "de"] })).toMatchObject({ metadata: { language: "de" } });
  expect(await apply(german)).toMatchObject({ keep: true, metadata: { language: "de" } });
});

test("another language is dropped, and so is a text in none for sure", async () => {
  expect(await apply(german, { languages: ["en"] })).toEqual({ keep: false, reason: "language" });
  expect(await apply("12 34")).toEqual({ keep: false, reason: "language" });
  expect(await apply("")).toEqual({ keep: false, reason: "language" });
});

test("a score right at the threshold isn't enough", async () => {
  const score = await scoreOf(english);
  expect((await apply(english, { threshold: score })).keep).toBe(false);
  expect((await apply(english, { threshold: score - 1e-9 })).keep).toBe(true);
  expect((await apply(english, { languages: "en", threshold: score })).keep).toBe(false);
});

test("below 0.5 a less likely language passes as well", async () => {
  const mixed = "12 34";
  const best = await apply(mixed, { labelOnly: true });
  expect(best).toMatchObject({ metadata: { language: "en" } });
  expect((await apply(mixed, { languages: "ca", threshold: 0.05 })).keep).toBe(true);
  expect((await apply(mixed, { languages: "ca", threshold: 0.3 })).keep).toBe(false);
});

test("of a long text the beginning counts, and its length doesn't cost", async () => {
  const page = english.repeat(1000);
  expect(page.length).toBeGreaterThan(50_000);
  expect(await scoreOf(page + german.repeat(50_000))).toBe(await scoreOf(page));
  expect((await apply("🎉".repeat(100_000), { labelOnly: true })).keep).toBe(true);
});

test("unknown options, numbers out of range and names that are no codes are refused", () => {
  expect(() => language({ language: "en" } as object)).toThrow(/is it languages/);
  expect(() => language({ threshold: 65 })).toThrow(/threshold is 65, a number from 0 to 1 was needed/);
  expect(() => language({ languages: ["English"] })).toThrow(/languages is \["English"\]/);
  expect(() => language({ languages: [] })).toThrow(/languages is \[\]/);
});

test("the filter runs in a worker thread, and lets it end", async () => {
  const built = path.resolve(import.meta.dirname, "../../../dist/data/filters/language.js");
  const worker = new Worker(
    `import(${JSON.stringify(built)}).then(async ({ language }) => {
      const document = { id: "d", text: ${JSON.stringify(german)}, metadata: {} };
      require("node:worker_threads").parentPort.postMessage(await language().apply(document));
    });`,
    { eval: true, execArgv: [] },
  );
  const [verdict, code] = await Promise.all([
    new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject)),
    new Promise((resolve) => worker.once("exit", resolve)),
  ]);
  expect(verdict).toMatchObject({ keep: true, metadata: { language: "de" } });
  expect(code).toBe(0);
});

const udhr = sharedPath("data/lid");
test.skipIf(!udhr)("315 sentences have the language and score that fastText gives", async () => {
  const rows = gunzipSync(readFileSync(path.join(udhr!, "udhr_lid176.jsonl.gz")))
    .toString()
    .trim()
    .split("\n");
  const filter = language({ labelOnly: true });
  for (const line of rows) {
    const { text, lid176_top3 } = JSON.parse(line) as { text: string; lid176_top3: [string, number][] };
    const [[code, score]] = lid176_top3 as [[string, number]];
    expect(await filter.apply(documentOf(text))).toEqual({
      keep: true,
      text,
      metadata: { language: code, languageScore: expect.closeTo(score, 4) },
    });
  }
  expect(rows.length).toBe(315);
});
