import { describe, expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { sum } from "../../lib/ops/segment_sum.ts";
import * as unary from "../../lib/ops/unary.ts";
import { checkOp, type OpCase, opened, values, ways } from "../support/check_op.ts";

type Op = (x: Tensor) => Tensor;
const clamp: Op = (x) => unary.clamp(x, -0.5, 0.75);

/** Each function with its oracle and with the part of the line, around 0, that its test values are taken from. */
const functions: [name: string, op: Op, oracle: (x: number) => number, lo: number, hi: number][] = [
  ["exp", unary.exp, Math.exp, -4, 4],
  ["log", unary.log, Math.log, 0.1, 5],
  ["square", unary.square, (x) => x * x, -4, 4],
  ["sqrt", unary.sqrt, Math.sqrt, 0.1, 5],
  ["reciprocal", unary.reciprocal, (x) => 1 / x, -3, -0.2],
  ["sigmoid", unary.sigmoid, (x) => 1 / (1 + Math.exp(-x)), -6, 6],
  ["logSigmoid", unary.logSigmoid, (x) => -Math.log1p(Math.exp(-x)), -6, 6],
  ["log1mExp", unary.log1mExp, (x) => Math.log(1 - Math.exp(x)), -4, -0.1],
  ["clamp", clamp, (x) => Math.min(Math.max(x, -0.5), 0.75), -2, 2],
];

for (const [name, op, oracle, lo, hi] of functions) {
  const sizes = (title: string, shape: number[]): OpCase => ({
    title,
    floats: (random) => ({ x: values(shape, () => lo + (hi - lo) * random.uniform()) }),
  });
  checkOp({
    spec: { ...unary.spec, name },
    cases: [
      sizes("one element", [1]),
      sizes("31 elements", [31]),
      sizes("33 columns", [600, 33]),
      sizes("three axes", [2, 3, 5]),
      sizes("no elements", [0]),
    ],
    call: ({ x }) => op(x!),
    oracle: ({ x }) => [x!.map(oracle)],
  });
}

/** f(x) and f'(x), element by element, on every instruction set and inline. */
async function of(
  op: Op,
  at: number[],
  check: (y: Float32Array, slope: Float32Array) => void,
): Promise<void> {
  for (const title of ways) {
    const dev = await opened(title);
    const x = dev.tensor(Float32Array.from(at), [at.length]);
    const y = op(x);
    const { value, grads } = valueAndGrad({ x }, () => sum(op(x)));
    check((await y.data()) as Float32Array, (await grads.x.data()) as Float32Array);
    disposeAll(x, y, value, grads);
  }
}

/** Within a few units in the last place of each element, not only of the largest one; what a float can't hold is left out. */
function expectClose(got: Float32Array, want: number[]): void {
  want.forEach((value, i) => {
    expect(Math.abs(got[i]! - value), `${got[i]} for ${value}`).toBeLessThanOrEqual(
      5e-7 * Math.abs(value) + 2e-45,
    );
  });
}

test("logSigmoid and sigmoid are exact far from 0", async () => {
  const at = [-100, -88, -50, -20, -1e-4, 0, 1e-4, 20, 50, 88, 100];
  const positive = (x: number) => 1 / (1 + Math.exp(-x));
  await of(unary.logSigmoid, at, (y, slope) => {
    expectClose(
      y,
      at.map(Math.fround).map((x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)))),
    );
    expectClose(
      slope,
      at.map(Math.fround).map((x) => positive(-x)),
    );
  });
  await of(unary.sigmoid, at, (y, slope) => {
    expectClose(y, at.map(Math.fround).map(positive));
    expectClose(
      slope,
      at.map(Math.fround).map((x) => positive(x) * positive(-x)),
    );
  });
});

test("log1mExp is exact near 0, far from it and on both sides of −ln 2", async () => {
  const at = [
    -100,
    -88,
    -50,
    -17,
    -5,
    -Math.LN2 - 1e-7,
    -Math.LN2,
    -Math.LN2 + 1e-7,
    -0.5,
    -1e-3,
    -1e-6,
    -1e-12,
    -1e-30,
  ];
  const exact = (x: number) => (x > -Math.LN2 ? Math.log(-Math.expm1(x)) : Math.log1p(-Math.exp(x)));
  await of(unary.log1mExp, at, (y, slope) => {
    expectClose(y, at.map(Math.fround).map(exact));
    expectClose(
      slope,
      at.map(Math.fround).map((x) => Math.exp(x) / Math.expm1(x)),
    );
  });
});

const { POSITIVE_INFINITY: inf, NaN: nan } = Number;
describe("where f isn't finite, neither is what comes out", () => {
  test.each<[string, Op, number[], number[], number[]]>([
    ["exp", unary.exp, [89, -inf, inf, nan], [inf, 0, inf, nan], [inf, 0, inf, nan]],
    ["log", unary.log, [0, -1, inf, nan], [-inf, nan, inf, nan], [inf, -1, 0, nan]],
    ["square", unary.square, [1e20, -inf, nan], [inf, inf, nan], [Math.fround(2e20), -inf, nan]],
    ["sqrt", unary.sqrt, [0, -1, inf, nan], [0, nan, inf, nan], [inf, nan, 0, nan]],
    ["reciprocal", unary.reciprocal, [0, -0, inf, nan], [inf, -inf, 0, nan], [-inf, -inf, 0, nan]],
    ["sigmoid", unary.sigmoid, [-inf, inf, nan], [0, 1, nan], [0, 0, nan]],
    ["logSigmoid", unary.logSigmoid, [-inf, inf, nan], [-inf, 0, nan], [1, 0, nan]],
    [
      "log1mExp",
      unary.log1mExp,
      [0, -0, 100, -inf, nan],
      [-inf, -inf, nan, 0, nan],
      [-inf, -inf, nan, 0, nan],
    ],
    ["clamp", clamp, [-inf, inf, nan], [-0.5, 0.75, nan], [0, 0, 1]],
  ])("%s", async (_, op, at, values, slopes) => {
    const plain = (list: Float32Array | number[]) => Array.from(list, (v) => Math.fround(v) + 0); // −0 is 0 here
    await of(op, at, (y, slope) => {
      expect(plain(y)).toEqual(plain(values));
      expect(plain(slope)).toEqual(plain(slopes));
    });
  });
});

test("clamp: the gradient is 1 at the bounds; bounds may be infinite or equal", async () => {
  const at = [-2, -0.5, 0, 0.75, 2];
  const clampTo = (lo: number, hi: number) => (x: Tensor) => unary.clamp(x, lo, hi);
  await of(clamp, at, (y, slope) => {
    expect([...y]).toEqual([-0.5, -0.5, 0, 0.75, 0.75]);
    expect([...slope]).toEqual([0, 1, 1, 1, 0]);
  });
  await of(clampTo(-inf, 0), at, (y, slope) => {
    expect([...y]).toEqual([-2, -0.5, 0, 0, 0]);
    expect([...slope]).toEqual([1, 1, 1, 0, 0]);
  });
  await of(clampTo(0.75, 0.75), at, (y, slope) => {
    expect([...y]).toEqual(Array(5).fill(0.75));
    expect([...slope]).toEqual([0, 0, 0, 1, 0]);
  });
});

test("clamp: bounds in the wrong order, or NaN, are refused", async () => {
  const x = (await opened()).full([2]);
  expect(() => unary.clamp(x, 1, 0)).toThrow(ConfigError);
  expect(() => unary.clamp(x, 1, 0)).toThrow("clamp: lo is 1 and hi is 0, lo ≤ hi was needed");
  expect(() => unary.clamp(x, nan, 0)).toThrow(ConfigError);
  x.dispose();
});
