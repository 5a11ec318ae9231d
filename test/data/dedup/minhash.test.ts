import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../../lib/core/random.ts";
import { textKernels } from "../../../lib/data/dedup/characters.ts";
import { permutations } from "../../../lib/data/dedup/parameters.ts";
import * as minhash from "../../../lib/data/dedup/signature.ts";
import { minimaSlowly, normalizeSlowly, sha1Slowly, shinglesSlowly } from "../../support/minhash_oracle.ts";
import { sharedPath } from "../../support/shared_data.ts";

const oracle = sharedPath("oracles/public/common/minhash.json");
const hashes = sharedPath("data/fixtures/hash.json");
const decisions = sharedPath("data/web/filter_ref/datatrove_decisions.json.gz");
const documents = sharedPath("data/web/filter_ref/docs.jsonl.gz");

const isas = ["avx512", "avx2", "baseline"].filter((isa) => {
  try {
    textKernels().permuteMin(BigUint64Array.of(1n), 64, BigUint64Array.of(1n), BigUint64Array.of(1n), isa);
    return true;
  } catch {
    return false;
  }
});

test("hashes of known texts (F1)", () => {
  expect(minhash.sha1Hash64("hello world")).toBe(13028719972609469994n);
  expect(minhash.sha1Hash64("the quick brown fox jumps")).toBe(12313522834835307089n);
  expect(textKernels().hash("hello world", "sha1", 32)).toBe(896314922n);
});

test("parameters are those of RandomState(1) (F2)", () => {
  const { a, b } = permutations(112, 1);
  expect([a[0], a[1], a[2], a[111]]).toEqual([
    775169054918279404n,
    1758426461858698313n,
    2109959069025162n,
    223865076026037746n,
  ]);
  expect([b[0], b[1], b[2], b[111]]).toEqual([
    1062448801025099917n,
    1324811268927594100n,
    1217488311597731462n,
    1097409548522419201n,
  ]);
});

test.each(isas)("permuted values of one hash, 64 and 32 bits, on %s (F1)", (isa) => {
  const { a, b } = permutations(112, 1);
  const wide = textKernels().permuteMin(BigUint64Array.of(13028719972609469994n), 64, a, b, isa);
  expect([...wide.slice(0, 3), wide[111]]).toEqual([
    1379511557763864390n,
    682682458131271795n,
    401094737294061359n,
    1405908022542502325n,
  ]);
  const narrow = textKernels().permuteMin(BigUint64Array.of(896314922n), 32, a, b, isa);
  expect([...narrow.slice(0, 3), narrow[111]]).toEqual([3960444745n, 592318577n, 3652251438n, 3464792508n]);
});

describe.runIf(oracle)("minhash.json", () => {
  const given = JSON.parse(readFileSync(oracle!, "utf8"));
  test("collision probabilities", () => {
    for (const [s, p] of given.curve) expect(minhash.collisionProbability(s)).toBeCloseTo(p, 9);
    for (const [shape, curve] of Object.entries(given.curve_other)) {
      const [buckets, hashesPerBucket] = shape.split("x").map(Number);
      for (const [s, p] of curve as [number, number][])
        expect(minhash.collisionProbability(s, { buckets, hashesPerBucket })).toBeCloseTo(p, 9);
    }
  });
  test("normalised texts", () => {
    for (const { text, normalized } of given.normalize) expect(minhash.normalize(text)).toBe(normalized);
  });
  test("shingles and their overlap", () => {
    const sets = given.texts.docs.map((text: string) => new Set(minhash.shingles(text)));
    expect(sets.map((set: Set<string>) => set.size)).toEqual(given.texts.n_shingles);
    for (const { a, b, intersection, union } of given.texts.pairs) {
      expect([...sets[a]].filter((shingle) => sets[b].has(shingle)).length).toBe(intersection);
      expect(new Set([...sets[a], ...sets[b]]).size).toBe(union);
    }
  });
  test("equal buckets of signatures", () => {
    const { values, pairs } = given.signatures;
    for (const { a, b, equal_bands } of pairs)
      expect(minhash.equalBuckets(values[a], values[b])).toEqual(equal_bands);
  });
  test("clusters", () => {
    const { n_docs, edges, clusters } = given.clusters;
    expect(minhash.clusters(n_docs, edges)).toEqual(clusters);
    expect(minhash.clusters(n_docs, [...edges].reverse())).toEqual(clusters);
  });
});

test.runIf(hashes)("hash.json", () => {
  for (const { s, xxh64, xxh32, sha1_le64 } of JSON.parse(readFileSync(hashes!, "utf8"))) {
    expect(minhash.sha1Hash64(s)).toBe(BigInt(sha1_le64));
    expect(textKernels().hash(s, "sha1-portable", 64)).toBe(BigInt(sha1_le64));
    expect(textKernels().hash(s, "xxhash", 64)).toBe(BigInt(xxh64));
    expect(textKernels().hash(s, "xxhash", 32)).toBe(BigInt(xxh32));
  }
});

test.runIf(decisions && documents)("datatrove's own signatures of 433 documents", () => {
  const lines = gunzipSync(readFileSync(documents!)).toString().trim().split("\n");
  const texts = new Map(lines.map((line) => JSON.parse(line)).map(({ id, text }) => [id, text as string]));
  const { docs, params } = JSON.parse(gunzipSync(readFileSync(decisions!)).toString());
  const { a, b } = permutations(112, 1);
  expect([...a].map(String)).toEqual(params.a);
  expect([...b].map(String)).toEqual(params.b);
  let signed = 0;
  for (const { id, simplified, n_shingles, minhash_bucket0, minhash_bucket13 } of docs) {
    const text = texts.get(id)!;
    if (simplified !== undefined) expect(minhash.normalize(text).slice(0, 1500), id).toBe(simplified);
    if (n_shingles === undefined) continue;
    expect(minhash.shingles(text).length, id).toBe(n_shingles);
    const values = [...minhash.signature(text, { hash: "xxhash" })].map(String);
    expect(values.slice(0, 8), id).toEqual(minhash_bucket0);
    expect(values.slice(104), id).toEqual(minhash_bucket13);
    signed++;
  }
  expect(signed).toBeGreaterThan(300);
});

/** Text of what web pages hold: words, numbers, marks, accents, other scripts, emoji, any character. */
const someText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ..."it's I'm 3.14 1,000,000 ٣٫١٤ １２ naïve Ångström ΣΊΣΥΦΟΣ İstanbul 日本語 한국어 ½ km² £5 👩‍👧 a—b 'q' \ufeff x\u0301".split(
          " ",
        ),
      ),
      fc.constantFrom(" ", "\n", "\t", "\u00a0", "\u3000", ".", ",", "-", "\u0301", "\u0085", "\u2028"),
      fc.string({ unit: "binary", maxLength: 6 }),
      fc.string({ unit: "grapheme-ascii", maxLength: 8 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(""));

test("normalised text, shingles and signatures are those of the slow rules, for any text", () => {
  fc.assert(
    fc.property(
      someText,
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom(32 as const, 64 as const),
      (text, ngram, precision) => {
        expect(minhash.normalize(text)).toBe(normalizeSlowly(text));
        const expected = shinglesSlowly(text, ngram);
        expect(minhash.shingles(text, { ngram, words: "spaces" })).toEqual(expected);
        const options = { ngram, buckets: 3, hashesPerBucket: 7, precision, words: "spaces" } as const;
        const got = [...minhash.signature(text, options)];
        if (expected.length === 0) {
          expect(got).toEqual([]);
          return;
        }
        const { a, b } = permutations(21, 1);
        const bits = precision;
        const all = expected.map((shingle) => sha1Slowly(shingle) % 2n ** BigInt(bits));
        expect(got).toEqual(minimaSlowly(all, { a, b, bits }));
      },
    ),
    { seed: 7, numRuns: 300 },
  );
});

test("minima are the same on every instruction set, at the edges of the modulus too", () => {
  const edges = [0n, 1n, 2n ** 61n - 2n, 2n ** 61n - 1n, 2n ** 61n, 2n ** 64n - 1n];
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...edges), fc.bigInt(0n, 2n ** 64n - 1n)), {
        minLength: 1,
        maxLength: 9,
      }),
      fc.integer({ min: 1, max: 70 }),
      fc.constantFrom(32, 64),
      (some, count, bits) => {
        const { a, b } = permutations(count, 3);
        a[0] = 1n; // so that hashes at the edges stay there
        b[0] = 0n;
        const expected = minimaSlowly(some, { a, b, bits });
        for (const isa of isas)
          expect([...textKernels().permuteMin(BigUint64Array.from(some), bits, a, b, isa)], isa).toEqual(
            expected,
          );
      },
    ),
    { seed: 11, numRuns: 200 },
  );
});

test("SHA-1 of every length over three blocks, with and without the processor's instructions", () => {
  for (let length = 0; length <= 200; length++) {
    const text = "0123456789abcdef".repeat(13).slice(0, length);
    expect(minhash.sha1Hash64(text), `${length}`).toBe(sha1Slowly(text));
    expect(textKernels().hash(text, "sha1-portable", 64), `${length}`).toBe(sha1Slowly(text));
  }
});

test("words are split as spaCy splits English", () => {
  const words = (text: string) => minhash.shingles(text, { ngram: 1 });
  expect(words("I cannot, gonna! it’ll dont its well")).toEqual(
    "i can not gon na it ll do nt its well".split(" "),
  );
  expect(words("20km, 5km² 7kb 9am £30 30£ x30£")).toEqual("0 km 0 km² 0 kb 0am £ 0 0 £ x0 £".split(" "));
  expect(words("‘cannot’ ©2024 rock®roll 👍👍ok ¿qué?")).toEqual(
    "‘ can not © 0 rock ® roll 👍 👍 ok ¿ que".split(" "),
  );
});

test("texts of fewer words than a shingle have no signature, and match nothing", () => {
  expect(minhash.shingles("just four words here")).toEqual([]);
  const none = minhash.signature("just four words here");
  expect(none.length).toBe(0);
  expect(minhash.equalBuckets(none, none)).toEqual([]);
  expect(minhash.signature("").length).toBe(0);
});

test("the same text always collides, disjoint ones never (F3)", () => {
  const one = minhash.signature("the quick brown fox jumps over the lazy dog");
  const other = minhash.signature("pack my box with five dozen liquor jugs today");
  expect(minhash.equalBuckets(one, one).length).toBe(14);
  expect(minhash.equalBuckets(one, other)).toEqual([]);
});

test("texts collide as often as 1 − (1 − s^8)^14 says, for Jaccard similarities from 0.5 to 0.9 (F3)", () => {
  const random = new Random(5);
  const { a, b } = permutations(112, 1);
  const draw = (count: number) =>
    Array.from(
      { length: count },
      () => (BigInt(random.below(2 ** 32)) << 32n) | BigInt(random.below(2 ** 32)),
    );
  const trials = 1500;
  for (const [shared, own] of [
    [20, 10],
    [30, 10],
    [70, 15],
    [80, 10],
    [90, 5],
  ] as const) {
    let collisions = 0;
    for (let trial = 0; trial < trials; trial++) {
      const both = draw(shared);
      const [one, other] = [0, 1].map(() =>
        textKernels().permuteMin(BigUint64Array.from([...both, ...draw(own)]), 64, a, b, ""),
      );
      if (minhash.equalBuckets(one!, other!).length > 0) collisions++;
    }
    const p = minhash.collisionProbability(shared / (shared + 2 * own));
    const sigma = Math.sqrt((p * (1 - p)) / trials);
    expect(Math.abs(collisions / trials - p), `s = ${shared / (shared + 2 * own)}`).toBeLessThan(3 * sigma);
  }
});

test("chains are one cluster (F4)", () => {
  expect(
    minhash.clusters(4, [
      [0, 1],
      [1, 2],
    ]),
  ).toEqual([[0, 1, 2], [3]]);
});

test("xxh64 is a name of xxhash at 64 bits alone", () => {
  const text = "the quick brown fox jumps";
  expect(minhash.signature(text, { hash: "xxh64" })).toEqual(minhash.signature(text, { hash: "xxhash" }));
  expect(() => minhash.signature(text, { hash: "xxh64", precision: 32 })).toThrow(
    /one of sha1, xxhash was needed/,
  );
});

test("refusals name the option or the operand", () => {
  expect(() => minhash.signature("a", { ngram: 0 })).toThrow(/signature: ngram is 0, a whole number from 1/);
  expect(() => minhash.signature("a", { hash: "md5" as "sha1" })).toThrow(
    /hash is "md5", one of sha1, xxhash, xxh64/,
  );
  expect(() => minhash.signature("a", { bucket: 3 } as object)).toThrow(/unknown option "bucket"/);
  expect(() => minhash.equalBuckets([1n], [1n])).toThrow(/1 and 1 values, 112 were needed/);
  expect(() => minhash.clusters(2, [[0, 2]])).toThrow(/ends at 2, 0 to 1 was needed/);
});
