import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { jsonl } from "../../lib/data/readers/jsonl.ts";
import { filterStep, type Reader, type Step } from "../../lib/data/step.ts";
import { jsonl as writeJsonl } from "../../lib/data/writers/jsonl.ts";
import { readJsonl } from "../../lib/io/jsonl.ts";
import type { PipelineVariant } from "../../lib/study/ablation/chosen_steps.ts";
import { pipelineVariants, type VariantTexts } from "../../lib/study/ablation/variants.ts";
import { folderBytes } from "../support/documents.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeJsonl as writeRows } from "../support/texts.ts";

/** How often each step saw a document. */
type Calls = Record<string, number>;

const dropMultiples = (name: string, of: number, calls: Calls): Step =>
  filterStep(name, { of }, ({ metadata }) => {
    calls[name] = (calls[name] ?? 0) + 1;
    return Number(metadata.n) % of === 0 ? { keep: false, reason: `multiple of ${of}` } : { keep: true };
  });

/** Another word for each number: MinHash takes all numbers for the same. */
const letters = (n: number): string => [...n.toString(2)].map((bit) => (bit === "1" ? "ba" : "no")).join("");

/** 30 documents in two files; no step drops number 1. Number 17 is number 1 again, with another dump than number 1. */
function steps(dir: string, calls: Calls): [Reader, ...Step[]] {
  const words = (n: number): string => Array.from({ length: 12 }, (_, i) => letters(n * 12 + i)).join(" ");
  const rows = Array.from({ length: 30 }, (_, n) => ({
    text: words(n === 17 || n === 7 ? 1 : n),
    id: String(n),
    n,
    dump: n < 15 ? "first" : "second",
  }));
  writeRows(path.join(dir, "in", "0.jsonl"), rows.slice(0, 20));
  writeRows(path.join(dir, "in", "1.jsonl"), rows.slice(20));
  const front = filterStep("upper", {}, ({ text }) => {
    calls.upper = (calls.upper ?? 0) + 1;
    return { keep: true, text: text.toUpperCase() };
  });
  return [
    jsonl(path.join(dir, "in")),
    front,
    dropMultiples("filter.two", 2, calls),
    dropMultiples("filter.three", 3, calls),
    dropMultiples("filter.five", 5, calls),
  ];
}

async function idsOf({ files }: VariantTexts): Promise<number[]> {
  const ids: number[] = [];
  for (const file of files)
    for await (const { value } of readJsonl(file)) ids.push(Number((value as { id: string }).id));
  return ids.sort((a, b) => a - b);
}

const without = (...divisors: number[]): number[] =>
  Array.from({ length: 30 }, (_, n) => n).filter((n) => divisors.every((d) => n % d !== 0));

test("all filters, none, and all but each: what variants share is done once", {
  timeout: 180_000,
}, async () => {
  const dir = tempDir();
  const calls: Calls = {};
  const made = await pipelineVariants({ steps: steps(dir, calls), out: path.join(dir, "out") });
  expect(Object.keys(made)).toEqual(["all", "none", "without-two", "without-three", "without-five"]);
  expect(await idsOf(made.all!)).toEqual(without(2, 3, 5));
  expect(await idsOf(made.none!)).toEqual(without());
  expect(await idsOf(made["without-two"]!)).toEqual(without(3, 5));
  expect(await idsOf(made["without-three"]!)).toEqual(without(2, 5));
  expect(await idsOf(made["without-five"]!)).toEqual(without(2, 3));
  expect(made.all).toMatchObject({ read: 30, kept: 8, duplicates: 0 });
  expect(made.all!.steps["filter.three"]).toMatchObject({ in: 15, out: 10, dropped: { "multiple of 3": 5 } });
  expect(Object.keys(made["without-two"]!.steps)).toEqual([
    "read.jsonl",
    "upper",
    "filter.three",
    "filter.five",
  ]);
  // Two: once, of all 30. Three: of 15 that two left, and of 30. Five: of 10 that both left, of 15, and of 20.
  expect(calls).toEqual({ upper: 30, "filter.two": 30, "filter.three": 45, "filter.five": 45 });
});

test("near-duplicates go from all documents, or within a value of the metadata", {
  timeout: 180_000,
}, async () => {
  const dir = tempDir();
  const variants: Record<string, PipelineVariant> = {
    kept: { without: ["filter.two"], only: ["filter.five"] },
    global: { only: ["filter.five"], dedup: "global" },
    "by-dump": { only: ["filter.five"], dedup: { by: "dump" } },
  };
  const calls: Calls = {};
  const made = await pipelineVariants({ steps: steps(dir, calls), variants, out: path.join(dir, "out") });
  const all = without(5);
  expect(await idsOf(made.kept!)).toEqual(all);
  expect(await idsOf(made.global!)).toEqual(all.filter((n) => n !== 7 && n !== 17));
  expect(await idsOf(made["by-dump"]!)).toEqual(all.filter((n) => n !== 7));
  expect(made.global).toMatchObject({ read: 30, kept: 22, duplicates: 2 });
  expect(made["by-dump"]).toMatchObject({ kept: 23, duplicates: 1 });
  expect(calls).toEqual({ upper: 30, "filter.five": 30 });

  const nothing = await pipelineVariants({
    steps: [...steps(dir, {}), dropMultiples("filter.all", 1, {})],
    variants: { nothing: { dedup: { by: "dump" } } },
    out: path.join(dir, "out"),
  });
  expect(nothing.nothing).toMatchObject({ read: 30, kept: 0 });
  expect(await idsOf(nothing.nothing!)).toEqual([]);
});

test("a run that was stopped goes on, and a third does nothing", { timeout: 180_000 }, async () => {
  const dir = tempDir();
  const out = path.join(dir, "out");
  const calls: Calls = {};
  const stop = new AbortController();
  const run = (signal?: AbortSignal) =>
    pipelineVariants({
      steps: steps(dir, calls),
      dedup: "global",
      out,
      signal,
      onProgress: ({ variants, state }) => {
        if (signal && state === "done" && variants.length < 5) stop.abort();
      },
    });
  await expect(run(stop.signal)).rejects.toThrow(/abort/i);
  expect(calls["filter.five"]).toBeUndefined();
  const made = await run();
  const whole = await pipelineVariants({
    steps: steps(dir, {}),
    dedup: "global",
    out: path.join(dir, "other"),
  });
  for (const [name, texts] of Object.entries(whole))
    expect(await idsOf(made[name]!)).toEqual(await idsOf(texts));
  expect(calls.upper).toBe(30);
  const before = { ...calls };
  const bytes = folderBytes(out);
  expect(await run()).toEqual(made);
  expect(calls).toEqual(before);
  expect(folderBytes(out)).toEqual(bytes);
});

test("what doesn't fit is refused before anything is read", { timeout: 180_000 }, async () => {
  const dir = tempDir();
  const out = path.join(dir, "out");
  const given = steps(dir, {});
  const refusal = (variant: object, all: object = {}) =>
    pipelineVariants({ steps: given, variants: { v: variant as PipelineVariant }, out, ...all }).then(
      () => "nothing",
      (error: Error) => error.message,
    );
  expect(await refusal({ without: ["filter.tow"] })).toContain(
    'without names "filter.tow", which is no step of the pipeline; is it filter.two?',
  );
  expect(await refusal({ only: ["upper"] })).toContain('only names "upper", which is no filter');
  expect(await refusal({ witout: [] })).toContain('unknown option "witout", is it without?');
  expect(await refusal({ without: "filter.two" })).toContain(
    'without is "filter.two", a list of steps was needed',
  );
  expect(await refusal({ dedup: { bye: "dump" } })).toContain('unknown option "bye", is it by?');
  expect(await refusal({ dedup: "all" })).toContain('dedup is "all", "none", "global"');
  const writer = writeJsonl(path.join(dir, "x"));
  expect(await refusal({}, { steps: [...given, writer] })).toContain("the step write.jsonl writes files");
  expect(await refusal({}, { steps: given.slice(0, 2), variants: undefined })).toContain(
    "there is no filter among upper",
  );
  expect(readdirSync(dir)).toEqual(["in"]);
  rmSync(path.join(dir, "in"), { recursive: true });
  await expect(pipelineVariants({ steps: given, out })).rejects.toThrow("names no file");
});
