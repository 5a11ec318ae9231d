import { expect, test } from "vitest";
import { permutation, Random } from "../../lib/core/random.ts";

/** Correlation of two lists. */
function correlation(x: readonly number[], y: readonly number[]): number {
  const mean = (of: readonly number[]) => of.reduce((a, b) => a + b, 0) / of.length;
  const [mx, my] = [mean(x), mean(y)];
  const sum = (f: (i: number) => number) => x.reduce((total, _, i) => total + f(i), 0);
  const covariance = sum((i) => (x[i]! - mx) * (y[i]! - my));
  return covariance / Math.sqrt(sum((i) => (x[i]! - mx) ** 2) * sum((i) => (y[i]! - my) ** 2));
}
const draws = (seed: number, n: number): number[] => {
  const random = new Random(seed);
  return Array.from({ length: n }, () => random.uniform());
};

test("neighbouring seeds give streams that share nothing", () => {
  const n = 4096;
  const seeds = [0, 1, 2, 3, 4, 1024, 2 ** 32, 2 ** 32 + 1, 2 ** 40];
  const streams = seeds.map((seed) => draws(seed, n));
  for (const [i, a] of streams.entries()) {
    for (const b of streams.slice(i + 1)) {
      expect(Math.abs(correlation(a, b))).toBeLessThan(5 / Math.sqrt(n));
      expect(new Set([...a, ...b]).size).toBeGreaterThan(2 * n - 20); // 32 bits collide now and then
    }
  }
});

test("shuffles of neighbouring seeds and rounds are independent", () => {
  const n = 1024;
  const orders = [
    permutation(n, 0),
    permutation(n, 1),
    permutation(n, 0, 1),
    permutation(n, n),
    permutation(n, 2),
  ];
  for (const [i, a] of orders.entries()) {
    expect([...a].sort((x, y) => x - y)).toEqual(Array.from({ length: n }, (_, k) => k));
    for (const b of orders.slice(i + 1)) {
      expect(Math.abs(correlation([...a], [...b]))).toBeLessThan(5 / Math.sqrt(n));
    }
  }
});

test("draws are uniform, and normal", () => {
  const values = draws(7, 20_000);
  const mean = values.reduce((a, b) => a + b) / values.length;
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.01);
  const random = new Random(8);
  const normal = Array.from({ length: 20_000 }, () => random.normal());
  const square = normal.reduce((sum, x) => sum + x * x, 0) / normal.length;
  expect(Math.abs(square - 1)).toBeLessThan(0.05);
});
