import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Random } from "../../../lib/core/random.ts";
import { BloomFilter, bloomSize } from "../../../lib/data/dedup/bloom.ts";
import { HashSet64 } from "../../../lib/data/dedup/hash_set.ts";
import { bloom, decontaminate, exact, sentence, url } from "../../../lib/data/dedup/index.ts";
import type { Document } from "../../../lib/data/document.ts";
import { jsonlFiles } from "../../../lib/data/readers/input_files.ts";
import type { Step } from "../../../lib/data/step.ts";
import { nearCopies } from "../../support/dedup_files.ts";
import { taskContext } from "../../support/task_context.ts";
import { tempDir } from "../../support/temp_dir.ts";
import { writeJsonl } from "../../support/texts.ts";

const texts = (...all: string[]): Document[] => all.map((text, i) => ({ id: `${i}`, text, metadata: {} }));

/** Runs a step alone: what it lets through, and what it drops. */
async function through(step: Step, documents: readonly Document[], tasks = 1) {
  const dropped: { id: string; reason: string; metadata: Document["metadata"] }[] = [];
  const counts: Record<string, number> = {};
  async function* source() {
    yield* documents;
  }
  const kept: Document[] = [];
  const context = taskContext({
    tasks,
    drop: (_, reason, { id, metadata }) => void dropped.push({ id, reason, metadata }),
    count: (name, amount = 1) => {
      counts[name] = (counts[name] ?? 0) + amount;
    },
  });
  for await (const document of step.run(source(), context)) kept.push(document);
  return { kept, dropped, counts, ids: kept.map(({ id }) => id).join(" ") };
}

test("exact keeps the first of equal texts", async () => {
  const { ids, dropped } = await through(exact(), texts("a", "b", "a", "A", "b", ""));
  expect(ids).toBe("0 1 3 5");
  expect(dropped.map(({ id, reason }) => `${id} ${reason}`)).toEqual(["2 same text", "4 same text"]);
});

test("url keeps the first document of a URL, and refuses one without", async () => {
  const page = (id: string, at: unknown): Document => ({ id, text: id, metadata: { url: at } });
  const { ids } = await through(url(), [
    page("a", "http://x/1"),
    page("b", "http://x/2"),
    page("c", "http://x/1"),
  ]);
  expect(ids).toBe("a b");
  await expect(through(url(), [page("a", 7)])).rejects.toThrow(/document a has 7 as metadata\.url/);
});

test("steps that compare documents refuse several tasks", async () => {
  for (const step of [exact(), url(), sentence(), bloom({ shingles: 10 })])
    await expect(through(step, [], 4)).rejects.toThrow(/has 4 tasks, 1 was needed/);
});

const sentencesOf = (from: number, count: number) =>
  Array.from(
    { length: count },
    (_, i) => `This is sentence number ${"abcdefghijklmnop"[from + i]} about a matter. `,
  );

test("sentence takes away spans that stood before, and keeps the rest", async () => {
  const first = sentencesOf(0, 6).join("");
  const second = [...sentencesOf(6, 4), ...sentencesOf(1, 3), ...sentencesOf(10, 2)].join("");
  const { kept, counts } = await through(sentence({ minWords: 10 }), texts(first, second));
  expect(kept[0]!.text).toBe(first);
  expect(kept[1]!.text).toBe([...sentencesOf(6, 4), ...sentencesOf(10, 2)].join("").trim());
  expect(counts).toEqual({ "dedup.sentence/sentences taken away": 3 });
});

test("sentence drops what has too little left, by words and by sentences", async () => {
  const first = sentencesOf(0, 6).join("");
  const { ids, dropped } = await through(
    sentence({ minWords: 10 }),
    texts(
      first,
      first,
      [...sentencesOf(0, 4), ...sentencesOf(8, 1)].join(""),
      [...sentencesOf(0, 4), ...sentencesOf(10, 2)].join(""),
      "Short. And new.",
    ),
  );
  expect(ids).toBe("0 4");
  expect(dropped.map(({ reason }) => reason)).toEqual([
    "too few words left",
    "too few words left",
    "too few sentences left",
  ]);
});

test("sentence by lines; spans of blank lines are no spans", async () => {
  const lines = (...all: string[]) => all.join("\n");
  const step = sentence({ unit: "lines", minWords: 0, minSentences: 0 });
  const { kept } = await through(
    step,
    texts(lines("a", "", "", "", "b"), lines("c", "", "", "", "d", "a", "", "", "x")),
  );
  expect(kept[1]!.text).toBe(lines("c", "", "", "", "d", "x"));
});

test("bloom drops near copies and keeps the rest", async () => {
  const rows = nearCopies(60, { words: 200, every: 2000 });
  const { dropped, kept } = await through(bloom({ shingles: 20_000 }), rows);
  const original = (id: string) => Number(id.slice(4)) % 3 !== 2;
  expect(kept.filter(({ id }) => original(id)).length).toBe(40);
  expect(dropped.length).toBeGreaterThan(15);
  const none = await through(bloom({ shingles: 10 }), texts("too short for it", "too short for it"));
  expect(none.ids).toBe("0 1");
});

test("a filter takes as many unknown hashes for known ones as its size says", () => {
  const random = new Random(3);
  const word = () => random.below(2 ** 32);
  const { bits, probes } = bloomSize(20_000, 0.02);
  const filter = new BloomFilter(bits, probes);
  const known = Array.from({ length: 20_000 }, () => [word(), word()] as const);
  for (const [low, high] of known) filter.add(low, high);
  expect(known.every(([low, high]) => filter.has(low, high))).toBe(true);
  let wrong = 0;
  for (let i = 0; i < 20_000; i++) if (filter.has(word(), word())) wrong++;
  expect(Math.abs(wrong / 20_000 - 0.02)).toBeLessThan(0.005);
});

test("a set of hashes is a set", () => {
  const random = new Random(4);
  const set = new HashSet64();
  const plain = new Set<string>();
  for (let i = 0; i < 20_000; i++) {
    const [low, high] = [random.below(100), random.below(100) * 2 ** 25];
    expect(set.add(low, high)).toBe(!plain.has(`${low} ${high}`));
    plain.add(`${low} ${high}`);
  }
  expect(set.size).toBe(plain.size);
});

test("decontaminate drops what quotes an evaluation set, and says what and where", async () => {
  const dir = tempDir();
  const file = writeJsonl(path.join(dir, "quiz.jsonl"), [
    { query: "Which fox did jump over the very lazy dog", text: "the quick brown one of course it was" },
    { text: "one two three four five six seven eight nine ten eleven twelve thirteen", task: "counting" },
  ]);
  const step = decontaminate({ evaluation: file });
  const { ids, dropped } = await through(
    step,
    texts(
      "He said: One, two, three, four, five, six; seven eight nine ten eleven TWELVE!",
      "one two three four five six seven eight nine ten eleven",
      "did jump over the very lazy dog the quick brown one of",
      "which fox did jump over the very lazy dog and then it did more",
    ),
    3,
  );
  expect(ids).toBe("1 3");
  expect(dropped).toEqual([
    {
      id: "0",
      reason: "in counting",
      metadata: {
        contaminated: {
          ngram: "one two three four five six seven eight nine ten eleven twelve",
          task: "counting",
        },
      },
    },
    {
      id: "2",
      reason: "in quiz",
      metadata: {
        contaminated: { ngram: "did jump over the very lazy dog the quick brown one of", task: "quiz" },
      },
    },
  ]);
  const strict = decontaminate({ evaluation: [file], ngram: 9, queries: true });
  expect((await through(strict, texts("which fox did jump over the very lazy dog"))).ids).toBe("");
  writeFileSync(file, '{"question": 1}\n');
  await expect(through(step, texts("a"))).rejects.toThrow(/quiz\.jsonl:1: an object with a string "text"/);
});

test("refusals", () => {
  expect(() => exact({ by: "id" } as never)).toThrow(/unknown option "by"/);
  expect(() => sentence({ unit: "words" as "lines" })).toThrow(/unit is "words", one of sentences, lines/);
  expect(() => bloom({ shingles: 0 })).toThrow(/shingles is 0, a whole number from 1/);
  expect(() => decontaminate({} as never)).toThrow(/evaluation names no files/);
});

test("evaluation sets and inputs are files, patterns and folders, also .zst, in the order they are named", async () => {
  const dir = tempDir();
  const at = (name: string): string => path.join(dir, name);
  for (const name of ["b.jsonl", "a.jsonl.gz", "c.jsonl.zst", "d.txt", "below/e.jsonl"]) {
    mkdirSync(path.dirname(at(name)), { recursive: true });
    writeFileSync(at(name), "");
  }
  const found = async (...input: string[]) =>
    (await jsonlFiles("x", input)).map((file) => path.relative(dir, file));
  expect(await found(dir)).toEqual(["a.jsonl.gz", "b.jsonl", "c.jsonl.zst"]);
  expect(await found(at("c.jsonl.zst"), at("*.jsonl"))).toEqual(["c.jsonl.zst", "b.jsonl"]);
  expect(await found(at("**/*.jsonl"), dir)).toEqual([
    "b.jsonl",
    "below/e.jsonl",
    "a.jsonl.gz",
    "c.jsonl.zst",
  ]);
  await expect(found(at("d.txt"))).rejects.toThrow(
    /x: .*d\.txt is read as no \.jsonl file, names that end in/,
  );
  await expect(found(dir, at("nothing/*.jsonl"))).rejects.toThrow(/nothing.* names no \.jsonl file/);
});
