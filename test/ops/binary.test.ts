import { expect, test } from "vitest";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { maximum, minimum, multiply, spec } from "../../lib/ops/binary.ts";
import { sum } from "../../lib/ops/segment_sum.ts";
import { checkOp, normal, type OpCase, opened, ways } from "../support/check_op.ts";

type Op = (a: Tensor, b: Tensor) => Tensor;
const functions: [name: string, op: Op, oracle: (a: number, b: number) => number][] = [
  ["multiply", multiply, (a, b) => a * b],
  ["minimum", minimum, Math.min],
  ["maximum", maximum, Math.max],
];

const sizes = (title: string, shape: number[]): OpCase => ({
  title,
  floats: (random) => ({ a: normal(shape, random), b: normal(shape, random) }),
});

for (const [name, op, oracle] of functions) {
  checkOp({
    spec: { ...spec, name },
    cases: [
      sizes("one element", [1]),
      sizes("31 elements", [31]),
      sizes("33 columns", [40, 33]),
      sizes("three axes", [2, 3, 5]),
      sizes("more than a task takes", [20000]),
      sizes("no elements", [0]),
    ],
    call: ({ a, b }) => op(a!, b!),
    oracle: ({ a, b }) => [a!.map((v, i) => oracle(v, b![i]!))],
  });
}

test.each(functions)(
  "%s of a tensor and itself, and with a gradient of one side alone",
  async (_, op, oracle) => {
    const dev = await opened();
    const [x, c] = [dev.tensor([-2, 3], [2]), dev.tensor([1, 4], [2])];
    const square = valueAndGrad({ x }, () => sum(op(x, x)));
    const left = valueAndGrad({ x }, () => sum(op(x, c)));
    const right = valueAndGrad({ x }, () => sum(op(c, x)));
    expect([...(await square.grads.x.data())]).toEqual(op === multiply ? [-4, 6] : [1, 1]);
    const want = [-2, 3].map((v, i) => oracle(v + 0.5, [1, 4][i]!) - oracle(v - 0.5, [1, 4][i]!));
    expect([...(await left.grads.x.data())]).toEqual(want);
    expect([...(await right.grads.x.data())]).toEqual(want);
    disposeAll(x, c, square, left, right);
  },
);

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
test("minimum and maximum: ties share the gradient, NaN stays NaN", async () => {
  for (const title of ways) {
    const dev = await opened(title);
    const a = dev.tensor(Float32Array.of(1, 2, 3, nan, 1, -inf), [6]);
    const b = dev.tensor(Float32Array.of(1, 3, 2, 1, nan, -inf), [6]);
    for (const [op, y, da] of [
      [minimum, [1, 2, 2, nan, nan, -inf], [0.5, 1, 0, 1, 1, 0.5]],
      [maximum, [1, 3, 3, nan, nan, -inf], [0.5, 0, 1, 1, 1, 0.5]],
    ] as const) {
      const got = op(a, b);
      const { value, grads } = valueAndGrad({ a, b }, () => sum(op(a, b)));
      expect([...(await got.data())]).toEqual(y);
      expect([...(await grads.a.data())]).toEqual(da);
      expect([...(await grads.b.data())]).toEqual(da.map((v, i) => (i === 1 || i === 2 ? 1 - v : v)));
      disposeAll(got, value, grads);
    }
    disposeAll(a, b);
  }
});
