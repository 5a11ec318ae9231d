import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { corpusOf } from "../../lib/data/corpus.ts";
import { type MixPart, mix, mixBatches, tokenShares } from "../../lib/data/mix.ts";
import { packedBatches } from "../../lib/data/packed_batches.ts";
import { WeightedTurns, wholeNumbers } from "../../lib/data/weighted_turns.ts";
import { type BatchSource, IGNORED, packBatch, type TokenBatch } from "../../lib/text/token_batch.ts";
import { sourceOf } from "../../lib/train/batch_source.ts";

const weight = fc.oneof(
  fc.constantFrom(0, 0.05, 1 / 3, 0.317, 1, 1e-4, 7, 0.1 + 0.2),
  fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
);
const weightsOf = (minLength: number) =>
  fc.array(weight, { minLength, maxLength: 6 }).filter((all) => all.some((w) => w > 0));

/** |given − share of the total|, at least `limit`, in whole numbers: no rounding. */
function isOff(given: number, total: number, shares: readonly bigint[], k: number, limit: number): boolean {
  const sum = shares.reduce((a, b) => a + b, 0n);
  const off = BigInt(given) * sum - BigInt(total) * shares[k]!;
  return (off < 0n ? -off : off) >= BigInt(limit) * sum;
}

describe("whose turn it is", () => {
  test.each([
    [[0.05, 0.95]],
    [[1 / 3, 2 / 3]],
    [[1e-4, 1 - 1e-4]],
    [[Math.PI - 3, Math.E, 1]],
    [[0.05, 1 / 3, 0.317]],
    [[0.317, 0.683, 0.05, 1 / 3, 1e-5]],
  ])("a million draws by %j are exact at every one of them", { timeout: 120_000 }, (weights) => {
    const shares = wholeNumbers(weights);
    const turns = new WeightedTurns(weights, () => 1);
    const counts = weights.map(() => 0);
    const sum = shares.reduce((a, b) => a + b, 0n);
    const floats = shares.map((share) => Number(share) / Number(sum));
    let wrong = 0;
    for (let i = 0; i < 1e6; i++) {
      const { source, index } = turns.turn(i);
      if (index !== counts[source]) wrong++;
      counts[source]!++;
      for (let k = 0; k < weights.length; k++) {
        // Floats find the doubtful ones; whole numbers decide.
        if (Math.abs(counts[k]! - floats[k]! * (i + 1)) > 0.999 && isOff(counts[k]!, i + 1, shares, k, 1))
          wrong++;
      }
    }
    expect(wrong).toBe(0);
    expect(new WeightedTurns(weights, () => 1).turn(999_999)).toEqual(turns.turn(999_999));
  });

  test("5 % of replay: 15 of each 300, and 0.05 counts as 5 of 100", () => {
    expect(wholeNumbers([0.05, 0.95])).toEqual([1n, 19n]);
    expect(wholeNumbers([1e-7, 3, 0.25])).toEqual([1n, 30_000_000n, 2_500_000n]);
    const turns = new WeightedTurns([0.05, 0.95], () => 1);
    for (let round = 0; round < 10; round++) {
      const drawn = Array.from({ length: 300 }, (_, i) => turns.turn(300 * round + i).source);
      expect(drawn.filter((source) => source === 0).length).toBe(15);
    }
  });

  test("batches of any sizes: after each draw every source is off by less than the largest batch", () =>
    fc.assert(
      fc.property(
        fc
          .array(fc.record({ weight, sizes: fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }) }), {
            minLength: 1,
            maxLength: 6,
          })
          .filter((all) => all.some((part) => part.weight > 0)),
        (parts) => {
          const shares = wholeNumbers(parts.map((part) => part.weight));
          const sizeOf = (k: number, index: number) => parts[k]!.sizes[index % parts[k]!.sizes.length]!;
          const turns = new WeightedTurns(
            parts.map((part) => part.weight),
            sizeOf,
          );
          const largest = Math.max(...parts.flatMap(({ sizes }) => sizes));
          const given = parts.map(() => 0);
          let total = 0;
          for (let i = 0; i < 200; i++) {
            const { source, index } = turns.turn(i);
            given[source]! += sizeOf(source, index);
            total += sizeOf(source, index);
            for (let k = 0; k < parts.length; k++)
              expect(isOff(given[k]!, total, shares, k, largest), `${given[k]} of ${total}`).toBe(false);
          }
        },
      ),
    ));

  test("a draw is the same whenever it is asked for", () =>
    fc.assert(
      fc.property(
        weightsOf(1),
        fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 20 }),
        (weights, order) => {
          const size = (k: number, index: number) => 1 + ((k + index) % 5);
          const jumping = new WeightedTurns(weights, size);
          for (const i of order) expect(jumping.turn(i)).toEqual(new WeightedTurns(weights, size).turn(i));
        },
      ),
      { numRuns: 30 },
    ));
});

describe("tokens within a batch", () => {
  test("no count ever falls, and each is off by less than the number of sources", () =>
    fc.assert(
      fc.property(weightsOf(1), fc.integer({ min: 1, max: 5000 }), (weights, step) => {
        const shares = wholeNumbers(weights);
        const counts = tokenShares(weights);
        let before = weights.map(() => 0);
        for (let i = 1; i < 60; i++) {
          const now = counts(i * step);
          expect(now.reduce((a, b) => a + b)).toBe(i * step);
          now.forEach((count, k) => {
            expect(count).toBeGreaterThanOrEqual(before[k]!);
            expect(isOff(count, i * step, shares, k, weights.length)).toBe(false);
          });
          before = now;
        }
      }),
    ));
});

/** Documents whose tokens count up from `first`, and what the source gives alone. */
const row = (first: number, lengths: readonly number[], batchTokens = 16) => {
  let next = first;
  const corpus = corpusOf(lengths.map((n) => Array.from({ length: n }, () => next++)));
  return packedBatches(corpus, { batchTokens, maxLength: 12, seed: 3 });
};

async function stream(source: BatchSource, batches: number): Promise<TokenBatch> {
  const all = await Promise.all(Array.from({ length: batches }, (_, i) => source.batch(i)));
  return {
    tokens: Int32Array.from(all.flatMap(({ tokens }) => [...tokens])),
    targets: Int32Array.from(all.flatMap(({ targets }) => [...targets])),
    offsets: Int32Array.of(),
  };
}

describe("mixed rows", () => {
  const old = () => row(0, [7, 30, 2, 11]);
  const fresh = () => row(1000, [40, 3, 25, 9, 14]);
  const mixed = (a: number, b: number) =>
    mixBatches([
      { name: "old", weight: a, source: old() },
      { name: "new", weight: b, source: fresh() },
    ]);

  test("each source keeps its order and its targets, and every batch its size and share", async () => {
    const both = mixed(0.05, 0.95);
    const { tokens, targets } = await stream(both, 100);
    for (const [source, own] of [
      [old(), (id: number) => id < 1000],
      [fresh(), (id: number) => id >= 1000],
    ] as const) {
      const alone = await stream(source, 100);
      const places = [...tokens.keys()].filter((t) => own(tokens[t]!));
      expect(places.map((t) => tokens[t]!)).toEqual([...alone.tokens.subarray(0, places.length)]);
      // A row is cut in other places, but no target is lost.
      expect(places.map((t) => targets[t]!)).toEqual([...alone.targets.subarray(0, places.length)]);
    }
    expect([...tokens].filter((id) => id < 1000).length).toBe(80);
    const batch = await both.batch(63);
    expect(batch.tokens.length).toBe(16);
    expect(batch.sources!.reduce((n, { documents }) => n + documents, 0)).toBe(batch.offsets.length - 1);
    expect(await mixed(0.05, 0.95).batch(63)).toEqual(batch);
  });

  test("replay of nothing is the new data alone, replay of all the old data alone", async () => {
    expect(await stream(mixed(0, 1), 50)).toEqual(await stream(fresh(), 50));
    expect(await stream(mixed(2, 0), 50)).toEqual(await stream(old(), 50));
  });
});

describe("whole batches", () => {
  const list = (tag: number, lengths: readonly number[]) =>
    sourceOf(lengths.map((n) => packBatch([Array.from({ length: n }, (_, i) => tag + i)])));

  test("a list keeps its order, and a batch says whose it is", async () => {
    const source = mixBatches([
      { name: "a", weight: 1, source: list(0, [4, 9]) },
      { name: "b", weight: 3, source: list(100, [5]) },
    ]);
    const batches = await Promise.all(Array.from({ length: 40 }, (_, i) => source.batch(i)));
    const ofA = batches.filter(({ sources }) => sources![0]!.name === "a");
    expect(ofA.map(({ tokens }) => tokens.length)).toEqual(ofA.map((_, i) => [4, 9][i % 2]));
    const tokens = (of: readonly TokenBatch[]) => of.reduce((n, { tokens }) => n + tokens.length, 0);
    expect(Math.abs(tokens(ofA) - tokens(batches) / 4)).toBeLessThan(9);
    expect(batches.map((_, i) => source.tokens!(i))).toEqual(batches.map(({ tokens }) => tokens.length));
    expect(batches.every(({ targets }) => targets.at(-1) === IGNORED)).toBe(true);
  });

  test("a source that doesn't tell its tokens counts by batches", async () => {
    const { batch } = list(100, [50]);
    const source = mixBatches([
      { name: "a", weight: 1, source: list(0, [4]) },
      { name: "b", weight: 1, source: { batch } },
    ]);
    const batches = await Promise.all([0, 1, 2, 3, 4, 5].map((i) => source.batch(i)));
    expect(batches.filter(({ sources }) => sources![0]!.name === "a").length).toBe(3);
    expect(source.tokens).toBeUndefined();
  });
});

describe("mix", () => {
  const data = [packBatch([[1, 2, 3]])];
  test("names sources by their files, else by their place", () => {
    const { parts } = mix([
      { data: "x/old.jsonl.gz", weight: 1 },
      { data: ["x/new.ds"], weight: 2 },
      { data: ["x/a.txt", "x/b.txt"], weight: 3 },
      { data, weight: 4, name: "mine" },
    ]);
    expect(parts.map(({ name }) => name)).toEqual(["old", "new", "source-3", "mine"]);
  });

  test.each<[MixPart[], string]>([
    [[], "mix: there is no source"],
    [[{ data, weight: -1 }], "weight of source-1 is -1, a finite number from 0 was needed"],
    [[{ data, weight: Number.NaN }], "weight of source-1 is NaN"],
    [[{ data, weight: Number.POSITIVE_INFINITY }], "weight of source-1 is Infinity"],
    [
      [
        { data, weight: 0 },
        { data, weight: 0 },
      ],
      "the weights of 2 sources are all 0",
    ],
    [
      [
        { data: "a/x.txt", weight: 1 },
        { data: "b/x.txt", weight: 1 },
      ],
      "two sources are named x",
    ],
    [[{ data, weight: 1, name: "a/b" }], 'name is "a/b", a word without "/" was needed'],
    [[{ data, wieght: 1 } as unknown as MixPart], 'unknown option "wieght", is it weight?'],
  ])("refuses %j", (parts, message) => {
    expect(() => mix(parts)).toThrow(ConfigError);
    expect(() => mix(parts)).toThrow(message);
  });

  test("refuses a seed that is no whole number", () => {
    expect(() => mix([{ data, weight: 1 }], { seed: 0.5 })).toThrow("seed is 0.5");
  });
});
