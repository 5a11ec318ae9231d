import fc from "fast-check";
import { expect, test } from "vitest";
import { gopherRepetition } from "../../../lib/data/filters/gopher_repetition.ts";
import { Ngrams } from "../../../lib/data/filters/ngrams.ts";
import { splitWords, wordsOf } from "../../../lib/data/words/text_words.ts";
import { distinctWords, reasonOf } from "../../support/verdicts.ts";

const filter = gopherRepetition();
const words = distinctWords(200);
const sentence = (from: number, count: number): string => words.slice(from, from + count).join(" ");

test("a text in which nothing repeats is kept, and so is an empty one", () => {
  expect(reasonOf(filter, sentence(0, 100))).toBe("kept");
  expect(reasonOf(filter, "")).toBe("kept");
});

test("more than 30 % of paragraphs that came before drop a text, 30 % don't", () => {
  const paragraphs = Array.from({ length: 7 }, (_, i) => sentence(10 * i, 10));
  expect(reasonOf(filter, [...paragraphs, "a", "a", "a", "a"].join("\n\n"))).toBe("kept");
  expect(reasonOf(filter, [...paragraphs, "a", "a", "a", "a", "a"].join("\n\n"))).toBe("dup_para_frac");
});

test("long paragraphs that came before drop a text by their characters", () => {
  const paragraphs = Array.from({ length: 7 }, (_, i) => `${i} ${i + 1}`);
  expect(reasonOf(filter, [...paragraphs, sentence(0, 20), sentence(0, 20)].join("\n\n"))).toBe(
    "dup_para_char_frac",
  );
});

test("half of the lines repeated drop a text by their number", () => {
  expect(reasonOf(filter, Array.from({ length: 10 }, (_, i) => sentence(6 * (i % 5), 6)).join("\n"))).toBe(
    "dup_line_frac",
  );
});

test("one long line repeated among short ones drops a text by its characters", () => {
  const lines = Array.from({ length: 7 }, (_, i) => `${i} ${i + 1}`);
  expect(reasonOf(filter, [...lines, sentence(0, 20), sentence(0, 20)].join("\n"))).toBe(
    "dup_line_char_frac",
  );
});

/** `rest` words around `count` copies of a phrase. */
function planted(phrase: string, count: number, rest: number): string {
  const copies = Array.from({ length: count }, (_, i) => `${words[i]} ${phrase}`);
  return [...copies, sentence(count, rest - count)].join(" ");
}

test.each([2, 3, 4])("a phrase of %i words that is much of a text drops it", (n) => {
  const phrase = Array.from({ length: n }, (_, i) => `q${"uvwx"[i]!.repeat(2)}`).join(" ");
  const share = (text: string): number => (phrase.length * 5) / text.length;
  const threshold = [0, 0, 0.2, 0.18, 0.16][n]!;
  const drops = Array.from({ length: 120 }, (_, rest) => planted(phrase, 5, rest + 5)).map((text) => ({
    above: share(text) > threshold,
    reason: reasonOf(gopherRepetition({ topNGrams: [[n, threshold]] }), text),
  }));
  expect(drops.map(({ reason }) => reason)).toEqual(
    drops.map(({ above }) => (above ? `top_${n}_gram` : "kept")),
  );
  expect(new Set(drops.map(({ above }) => above)).size).toBe(2);
});

test.each([5, 6, 7, 8, 9, 10])(
  "phrases of %i words that came before drop a text by their characters",
  (n) => {
    const phrase = sentence(100, n);
    const threshold = [0.15, 0.14, 0.13, 0.12, 0.11, 0.1][n - 5]!;
    const longer = phrase.replaceAll(" ", "").length;
    const texts = Array.from({ length: 80 }, (_, rest) =>
      `${phrase} ${sentence(0, rest)} ${phrase}`.replace("  ", " "),
    );
    const reasons = texts.map((text) =>
      reasonOf(gopherRepetition({ topNGrams: [], dupNGrams: [[n, threshold]] }), text),
    );
    expect(reasons).toEqual(
      texts.map((text) => (longer / text.length > threshold ? `duplicated_${n}_n_grams` : "kept")),
    );
    expect(new Set(reasons).size).toBe(2);
  },
);

test("a rule is switched off by null or an empty list, and unknown options are refused", () => {
  const lines = Array.from({ length: 10 }, (_, i) => sentence(6 * (i % 5), 6)).join("\n");
  const off = gopherRepetition({ dupLineFrac: null, dupLineCharFrac: null, topNGrams: [], dupNGrams: [] });
  expect(reasonOf(off, lines)).toBe("kept");
  expect(() => gopherRepetition({ dupLinesFrac: 0.2 } as object)).toThrow(
    /unknown option "dupLinesFrac", is it dupLineFrac/,
  );
  expect(() => gopherRepetition({ topNGrams: [[0.5, 1]] })).toThrow(/topNGrams has \[0.5,1\]/);
});

/** The rules as they are written, on texts of words. */
function slowTop(list: readonly string[], n: number): number {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= list.length; i++) {
    const gram = list.slice(i, i + n).join(" ");
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  const most = Math.max(0, ...counts.values());
  const [gram = ""] = [...counts].find(([, count]) => count === most) ?? [];
  return [...gram].length * most;
}

function slowDuplicates(list: readonly string[], n: number): number {
  const seen = new Set<string>();
  let characters = 0;
  for (let i = 0; i + n <= list.length; ) {
    const gram = list.slice(i, i + n).join("");
    if (seen.has(gram)) characters += [...gram].length;
    i += seen.has(gram) ? n : 1;
    seen.add(gram);
  }
  return characters;
}

test("n-grams are counted as by sets of strings, in texts that repeat much and little", () => {
  const word = fc.oneof(
    fc.constantFrom("a", "b", "ab", "aba", "🎉"),
    fc.constantFrom("longerthananything", "thing", "longer"),
    fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 9 }),
  );
  const orders = fc.shuffledSubarray([1, 2, 3, 4, 5, 7, 10], { minLength: 1 });
  const ngrams = new Ngrams();
  fc.assert(
    fc.property(fc.array(word, { maxLength: 60 }), fc.nat(3), orders, (list, copies, orders) => {
      const text = Array.from({ length: copies + 1 }, () => list.join(" ")).join("\n");
      const split = splitWords(text);
      ngrams.load(wordsOf(text));
      for (const n of orders) {
        expect(ngrams.topLength(n)).toBe(slowTop(split, n));
        expect(ngrams.duplicateLength(n)).toBe(slowDuplicates(split, n));
      }
    }),
    { numRuns: 500 },
  );
});
