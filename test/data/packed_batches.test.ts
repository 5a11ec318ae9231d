import fc from "fast-check";
import { expect, test } from "vitest";
import { type Corpus, corpusOf } from "../../lib/data/corpus.ts";
import { packedBatches, sequentialBatches } from "../../lib/data/packed_batches.ts";
import { IGNORED, type TokenBatch } from "../../lib/text/token_batch.ts";

/** Documents of those lengths in which every token has an id of its own, and what follows each id. */
function numbered(lengths: readonly number[]) {
  let next = 0;
  const documents = lengths.map((n) => Array.from({ length: n }, () => next++));
  const after = new Map(documents.flatMap((ids) => ids.map((id, t) => [id, ids[t + 1] ?? IGNORED])));
  return { corpus: corpusOf(documents), total: next, after };
}

const lengths = fc
  .array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 8 })
  .filter((all) => all.some((n) => n > 0));
const sizes = { batchTokens: fc.integer({ min: 1, max: 17 }), maxLength: fc.integer({ min: 1, max: 20 }) };

function expectPieces({ tokens, targets, offsets }: TokenBatch, maxLength: number) {
  expect(offsets[0]).toBe(0);
  expect(offsets.at(-1)).toBe(tokens.length);
  expect(targets.length).toBe(tokens.length);
  for (let d = 0; d + 1 < offsets.length; d++) {
    const piece = Array.from(tokens.subarray(offsets[d], offsets[d + 1]));
    expect(piece.length).toBeGreaterThan(0);
    expect(piece.length).toBeLessThanOrEqual(maxLength);
    expect(piece).toEqual(piece.map((_, t) => piece[0]! + t));
  }
}

test("each epoch has every token and every target once, in batches of one size", () =>
  fc.assert(
    fc.asyncProperty(
      fc.record({ lengths, ...sizes, seed: fc.integer({ min: 0, max: 99 }), shuffle: fc.boolean() }),
      async ({ lengths, batchTokens, maxLength, seed, shuffle }) => {
        const { corpus, total, after } = numbered(lengths);
        const source = packedBatches(corpus, { batchTokens, maxLength, seed, shuffle });
        const stream: [number, number][] = [];
        for (let i = 0; stream.length < 3 * total; i++) {
          const batch = await source.batch(i);
          expect(batch.tokens.length).toBe(batchTokens);
          expectPieces(batch, maxLength);
          for (let t = 0; t < batchTokens; t++) stream.push([batch.tokens[t]!, batch.targets[t]!]);
        }
        for (const [token, target] of stream) expect(target).toBe(after.get(token));
        for (let e = 0; e < 3; e++) {
          const epoch = stream.slice(e * total, (e + 1) * total).map(([token]) => token);
          const inOrder = Array.from({ length: total }, (_, id) => id);
          expect(epoch.toSorted((a, b) => a - b)).toEqual(inOrder);
          if (!shuffle) expect(epoch).toEqual(inOrder);
        }
      },
    ),
  ));

test("a batch is the same whenever it is asked for", () =>
  fc.assert(
    fc.asyncProperty(
      fc.record({ lengths, ...sizes }),
      fc.array(fc.nat(60), { minLength: 1, maxLength: 12 }),
      async ({ lengths, ...options }, indices) => {
        const { corpus } = numbered(lengths);
        const source = packedBatches(corpus, options);
        for (const i of indices)
          expect(await source.batch(i)).toEqual(await packedBatches(corpus, options).batch(i));
      },
    ),
  ));

test("orders differ between epochs and seeds", async () => {
  const { corpus, total } = numbered(new Array<number>(40).fill(2));
  const a = packedBatches(corpus, { batchTokens: total, seed: 1 });
  const b = packedBatches(corpus, { batchTokens: total, seed: 2 });
  const orders = [await a.batch(0), await a.batch(1), await b.batch(0)].map(({ tokens }) => String(tokens));
  expect(new Set(orders).size).toBe(3);
});

test("sequential batches are the corpus in order, once", () =>
  fc.assert(
    fc.asyncProperty(fc.record({ lengths, ...sizes }), async ({ lengths, ...options }) => {
      const { corpus, total, after } = numbered(lengths);
      const batches = await sequentialBatches(corpus, options);
      for (const batch of batches) {
        expectPieces(batch, options.maxLength);
        if (batch.offsets.length > 2) expect(batch.tokens.length).toBeLessThanOrEqual(options.batchTokens);
      }
      const lengthsOf = (all: readonly TokenBatch[]) =>
        all.flatMap(({ offsets }) => Array.from(offsets.subarray(1), (end, d) => end - offsets[d]!));
      const whole = await sequentialBatches(corpus, { ...options, batchTokens: total });
      expect(lengthsOf(batches)).toEqual(lengthsOf(whole));
      const tokens = batches.flatMap((batch) => Array.from(batch.tokens));
      expect(tokens).toEqual(Array.from({ length: total }, (_, id) => id));
      expect(batches.flatMap((batch) => Array.from(batch.targets))).toEqual(
        tokens.map((id) => after.get(id)),
      );
    }),
  ));

test("only the part of a document that a batch needs is asked for", async () => {
  const asked: number[] = [];
  const corpus: Corpus = {
    documents: 1,
    length: () => 2 ** 40,
    document: (_, from = 0, to = 0) => {
      asked.push(to - from);
      return Int32Array.from({ length: to - from }, (_, t) => (from + t) % 1000);
    },
  };
  const batch = await packedBatches(corpus, { batchTokens: 10, maxLength: 4 }).batch(2 ** 31);
  expect(asked).toEqual([5, 5, 3]);
  expect(Array.from(batch.offsets)).toEqual([0, 4, 8, 10]);
  expect(batch.tokens[0]).toBe((2 ** 31 * 10) % 1000);
  expect(batch.targets[9]).toBe((2 ** 31 * 10 + 10) % 1000);
});

test("what can't be packed is named", async () => {
  expect(() => packedBatches(corpusOf([[], []]), { batchTokens: 4 })).toThrow(
    "packedBatches: the corpus has 2 documents and no token, at least one was needed",
  );
  expect(() => packedBatches(corpusOf([[1]]), { batchTokens: 0 })).toThrow(
    "packedBatches: batchTokens is 0, a whole number from 1 was needed",
  );
  await expect(sequentialBatches(corpusOf([[1]]), { batchTokens: 4, maxLength: 1.5 })).rejects.toThrow(
    "sequentialBatches: maxLength is 1.5",
  );
  expect(await sequentialBatches(corpusOf([]), { batchTokens: 4 })).toEqual([]);
});
