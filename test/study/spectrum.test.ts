import { expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { correlation, driftOf } from "../../lib/study/drift.ts";
import { rankForVariance, symmetricEigenvalues } from "../../lib/study/spectrum.ts";

const diagonal = (...values: number[]): number[] =>
  values.flatMap((v, i) => values.map((_, j) => (i === j ? v : 0)));

function normal(size: number, seed: number): Float64Array {
  const random = new Random(seed);
  return Float64Array.from({ length: size }, () => random.normal());
}

/** [n, k] · [k, m]. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, n: number, k: number, m: number): Float64Array {
  return Float64Array.from({ length: n * m }, (_, at) => {
    let sum = 0;
    for (let x = 0; x < k; x++) sum += a[Math.floor(at / m) * k + x]! * b[x * m + (at % m)]!;
    return sum;
  });
}

test("eigenvalues of matrices whose eigenvalues are known", () => {
  // Eigenvectors (1, 1), (1, −1).
  expect([...symmetricEigenvalues(Float64Array.of(2, 1, 1, 2), 2)]).toEqual([
    expect.closeTo(3, 12),
    expect.closeTo(1, 12),
  ]);
  // The path of three: 2 − 2cos(kπ/4).
  const path = Float64Array.of(2, -1, 0, -1, 2, -1, 0, -1, 2);
  const known = [2 + Math.SQRT2, 2, 2 - Math.SQRT2];
  [...symmetricEigenvalues(path, 3)].forEach((value, i) => {
    expect(value).toBeCloseTo(known[i]!, 12);
  });
  expect([...symmetricEigenvalues(new Float64Array(9), 3)]).toEqual([0, 0, 0]);
  expect([...symmetricEigenvalues(Float64Array.of(-4), 1)]).toEqual([-4]);
  // Nothing on the diagonal, and nothing beside it.
  expect([...symmetricEigenvalues(Float64Array.of(0, 1, 1, 0), 2)]).toEqual(
    [1, -1].map((v) => expect.closeTo(v, 12)),
  );
  expect([...symmetricEigenvalues(Float64Array.from(diagonal(2, 3, 1)), 3)]).toEqual([3, 2, 1]);
  // Of a path of 60: the same formula, most of it close together at both ends.
  const n = 60;
  const long = Float64Array.from({ length: n * n }, (_, at) => {
    const apart = Math.abs(Math.floor(at / n) - (at % n));
    return apart === 0 ? 2 : apart === 1 ? -1 : 0;
  });
  [...symmetricEigenvalues(long, n)].forEach((value, i) => {
    expect(value).toBeCloseTo(2 - 2 * Math.cos(((n - i) * Math.PI) / (n + 1)), 12);
  });
});

test("eigenvalues of a random matrix keep its trace and its size", () => {
  const n = 40;
  const half = normal(n * n, 3);
  const matrix = half.map((_, i) => half[i]! + half[(i % n) * n + Math.floor(i / n)]!);
  const trace = Array.from({ length: n }, (_, i) => matrix[i * n + i]!).reduce((a, b) => a + b);
  const squares = matrix.reduce((sum, v) => sum + v * v, 0);
  const values = symmetricEigenvalues(matrix.slice(), n);
  expect(values.reduce((a, b) => a + b)).toBeCloseTo(trace, 9);
  expect(values.reduce((sum, v) => sum + v * v, 0) / squares).toBeCloseTo(1, 12);
});

test("rank for a share of the variance", () => {
  expect(rankForVariance(diagonal(1, 1, 0.1), 3, 3)).toBe(2);
  expect(rankForVariance(diagonal(1, 1, 1, 1), 4, 4)).toBe(4);
  expect(rankForVariance(diagonal(3, 0.5, 0.5), 3, 3)).toBe(1);
  expect(rankForVariance(diagonal(1, 1, 1, 1), 4, 4, 0.5)).toBe(2);
  expect(rankForVariance(new Float32Array(12), 3, 4)).toBe(0);
  // Singular values 5 and 0: [3, 4] in a row, and in a column.
  expect(rankForVariance([3, 4, 6, 8, 9, 12], 3, 2, 0.999)).toBe(1);
  expect(rankForVariance([3, 6, 9, 4, 8, 12], 2, 3, 0.999)).toBe(1);
});

test("a product of rank 4 needs 4 directions at most, a random matrix many", () => {
  const [n, r, m] = [30, 4, 50];
  const low = Float32Array.from(product(normal(n * r, 1), normal(r * m, 2), n, r, m));
  expect(rankForVariance(low, n, m, 1 - 1e-9)).toBe(4);
  expect(rankForVariance(low, n, m)).toBeLessThanOrEqual(4);
  expect(rankForVariance(normal(n * m, 5), n, m)).toBeGreaterThan(15);
});

test("ΔM and ΔD of hand-made weights", () => {
  const before = [3, 4, 1, 0];
  // The first row twice as long, the second turned by 90 degrees.
  expect(driftOf(before, [6, 8, 0, 1], 2, 2)).toEqual({ magnitude: 2.5, direction: 0.5 });
  expect(driftOf(before, before, 2, 2)).toEqual({ magnitude: 0, direction: 0 });
  expect(driftOf(before, [-3, -4, -1, 0], 2, 2)).toEqual({ magnitude: 0, direction: 2 });
  expect(driftOf([0, 0, 1, 0], [5, 0, 1, 0], 2, 2)).toEqual({ magnitude: 2.5, direction: 0 });
});

test("correlation", () => {
  expect(correlation([0, 1, 2].map((x) => [x, 3 * x + 1]))).toBeCloseTo(1, 12);
  expect(correlation([0, 1, 2].map((x) => [x, -x]))).toBeCloseTo(-1, 12);
  const pairs: [number, number][] = [
    [1, 2],
    [2, 1],
    [3, 4],
    [4, 3],
  ];
  expect(correlation(pairs)).toBeCloseTo(0.6, 12);
  expect(correlation([[1, 1]])).toBeNaN();
  expect(
    correlation([
      [1, 1],
      [1, 2],
    ]),
  ).toBeNaN();
});
