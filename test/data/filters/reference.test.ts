import { readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { c4 } from "../../../lib/data/filters/c4.ts";
import { fineweb } from "../../../lib/data/filters/fineweb.ts";
import { gopherQuality } from "../../../lib/data/filters/gopher_quality.ts";
import { gopherRepetition } from "../../../lib/data/filters/gopher_repetition.ts";
import type { Filter } from "../../../lib/data/step.ts";
import { readJson } from "../../support/oracle.ts";
import { sharedPath } from "../../support/shared_data.ts";
import { reasonOf, verdictOf } from "../../support/verdicts.ts";

const filters = { gopher_repetition: gopherRepetition, gopher_quality: gopherQuality, c4, fineweb };

interface OracleDocument {
  id: string;
  filter: keyof typeof filters;
  params: Record<string, unknown>;
  text: string;
  expected: { keep: boolean; reason: string | null; text_after?: string };
}

const oracle = sharedPath("oracles/public/common/filters.json");
const { documents } = oracle ? readJson<{ documents: OracleDocument[] }>(oracle) : { documents: [] };

const camelCase = (name: string): string =>
  name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

test.skipIf(!oracle)("the oracle has documents", () => {
  expect(documents.length).toBeGreaterThan(40);
});

test.each(documents)("$id", ({ filter, params, text, expected }) => {
  const options = Object.fromEntries(Object.entries(params).map(([name, value]) => [camelCase(name), value]));
  const verdict = verdictOf(filters[filter](options), text);
  expect(verdict.keep ? "kept" : verdict.reason).toBe(expected.reason ?? "kept");
  if (expected.text_after !== undefined) expect(verdict).toMatchObject({ text: expected.text_after });
});

const reference = sharedPath("data/web/filter_ref");
const judged: [column: string, filter: Filter][] = [
  ["gopher_quality", gopherQuality()],
  ["gopher_repetition", gopherRepetition()],
  ["c4_quality_noterm", c4({ filterNoTerminalPunct: false })],
  ["c4_quality_full", c4()],
  ["fineweb_quality", fineweb()],
];

test.skipIf(!reference).each(judged)(
  "433 documents are judged as datatrove 0.10 does: %s",
  (column, filter) => {
    const read = (file: string): string => gunzipSync(readFileSync(path.join(reference!, file))).toString();
    const { docs } = JSON.parse(read("datatrove_decisions.json.gz")) as { docs: Record<string, unknown>[] };
    const texts = read("docs.jsonl.gz").trim().split("\n");
    const same = texts.filter((line, d) => {
      const verdict = verdictOf(filter, (JSON.parse(line) as { text: string }).text);
      const length = docs[d]![`${column}_text_len`];
      if (verdict.keep && length !== undefined) expect([...verdict.text!].length).toBe(length);
      return (verdict.keep ? true : verdict.reason) === docs[d]![column];
    });
    expect(texts.length).toBe(433);
    expect(same.length).toBe(433);
  },
);

const everyFilter = [
  ...judged.map(([, filter]) => filter),
  fineweb({ preset: "fineweb2024" }),
  c4({ splitParagraph: false }),
];
const inChinese = [gopherRepetition, gopherQuality, c4, fineweb].map((make) => make({ language: "zh" }));

const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({
    unit: fc.constantFrom("\n", "\r", "\u2028", " ", ".", "a", "中", "م", "\ud800", "🎉", "[", "{"),
  }),
  fc
    .array(fc.constantFrom("the", "of", "…", "#", "- a", "\n", "\n\n", "word", "。", "שלום"), {
      maxLength: 80,
    })
    .map((words) => words.join(" ")),
);

test("no text makes a filter fail, and a filter gives the same verdict twice", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      for (const filter of [...everyFilter, ...inChinese]) {
        expect(verdictOf(filter, text)).toEqual(verdictOf(filter, text));
      }
    }),
    { numRuns: 500 },
  );
});

test.each([
  ["one line of words", "The quick brown fox jumps. ", 5e6],
  ["one word", "a", 5e6],
  ["newlines", "\n", 1e6],
  ["spaces", " ", 1e6],
  ["open brackets", "[12", 1e6],
  ["halves of pairs", "\ud83c", 1e6],
  ["right to left", "שלום עולם. ", 1e6],
  ["marks", '!"', 1e6],
])("millions of one thing are judged in seconds: %s", (_, piece, length) => {
  const text = piece.repeat(length / piece.length);
  const start = process.cpuUsage();
  for (const filter of everyFilter) reasonOf(filter, text);
  expect(process.cpuUsage(start).user / 1e6).toBeLessThan(60);
});
