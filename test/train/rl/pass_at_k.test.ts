import fc from "fast-check";
import { expect, test } from "vitest";
import { ConfigError } from "../../../lib/core/errors.ts";
import { passAtK } from "../../../lib/index.ts";

test.each([
  [10, 3, 5, 11 / 12],
  [5, 1, 2, 0.4],
  [50, 5, 1, 0.1],
])("of %d samples %d are correct: pass@%d (G6)", (n, correct, k, want) => {
  expect(passAtK(n, correct, k)).toBeCloseTo(want, 12);
});

/** C(n, k), exactly. */
function choose(n: number, k: number): bigint {
  if (k > n) return 0n;
  let result = 1n;
  for (let i = 1; i <= k; i++) result = (result * BigInt(n - k + i)) / BigInt(i);
  return result;
}

test("it is 1 − C(n − c, k)/C(n, k), to thirteen digits", () => {
  const counts = fc
    .integer({ min: 1, max: 200 })
    .chain((n) => fc.tuple(fc.constant(n), fc.integer({ min: 0, max: n }), fc.integer({ min: 1, max: n })));
  fc.assert(
    fc.property(counts, ([n, correct, k]) => {
      const all = choose(n, k);
      const scale = 10n ** 30n;
      const want = Number(((all - choose(n - correct, k)) * scale) / all) / 1e30;
      expect(Math.abs(passAtK(n, correct, k) - want)).toBeLessThanOrEqual(1e-13 * want);
    }),
  );
});

test("none correct is 0, one of one is 1, and counts that overflow a binomial are fine", () => {
  expect(passAtK(7, 0, 7)).toBe(0);
  expect(passAtK(1, 1, 1)).toBe(1);
  expect(passAtK(7, 3, 5)).toBe(1);
  expect(passAtK(1_000_000, 1, 1)).toBeCloseTo(1e-6, 18);
  expect(passAtK(100_000, 50_000, 10_000)).toBe(1);
  expect(passAtK(100_000, 20, 30_000)).toBeCloseTo(1 - 0.7 ** 20, 4);
});

test.each([
  [0, 0, 1, /n is 0, a whole number from 1/],
  [5, -1, 1, /correct is -1, a whole number from 0/],
  [5, 6, 1, /correct is 6, at most the 5 samples/],
  [5, 2, 6, /k is 6, at most the 5 samples/],
  [5, 2, 0, /k is 0, a whole number from 1/],
  [5, 2.5, 2, /correct is 2.5/],
  [Number.NaN, 2, 2, /n is NaN/],
])("refuses %d samples, %d correct, k %d", (n, correct, k, message) => {
  expect(() => passAtK(n, correct, k)).toThrow(ConfigError);
  expect(() => passAtK(n, correct, k)).toThrow(message);
});
