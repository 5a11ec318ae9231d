import { expect, test } from "vitest";
import { DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import { argsort, sort, sortSpec, spec } from "../../lib/ops/argsort.ts";
import { multiply } from "../../lib/ops/binary.ts";
import { sum } from "../../lib/ops/segment_sum.ts";
import { checkOp, normal, type OpCase, opened, ways } from "../support/check_op.ts";

const sizes = (title: string, N: number): OpCase => ({
  title,
  floats: (random) => ({ x: normal([N], random) }),
});
const cases = [
  sizes("one element", 1),
  sizes("31 elements", 31),
  sizes("33 elements", 33),
  sizes("700 elements", 700),
  sizes("no elements", 0),
];

const order = (x: Float64Array): number[] =>
  [...x.keys()].sort((i, j) => {
    const [a, b] = [x[i]!, x[j]!];
    return Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || a - b || i - j;
  });

checkOp({
  spec: { ...spec, tolerance: { f32: 1e-9, bf16: 1e-9 } },
  cases,
  gradientOf: [],
  call: ({ x }) => argsort(x!),
  oracle: ({ x }) => [Float64Array.from(order(x!))],
});

checkOp({
  spec: { ...sortSpec, tolerance: { f32: 1e-7, bf16: 1e-7 } },
  // Neighbours stay apart under the differences that the gradient is compared with.
  cases: cases.map((c) => ({
    ...c,
    floats: (random) => {
      const { x } = c.floats(random) as { x: ReturnType<typeof normal> };
      order(x.data).forEach((at, place) => {
        x.data[at] = place / 64 - 2;
      });
      return { x };
    },
  })),
  call: ({ x }) => sort(x!),
  oracle: ({ x }) => [x!.toSorted()],
});

test("argsort: equal elements stay in their order, −0 is 0, NaN comes last", async () => {
  const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY];
  const random = new Random(11);
  const many = Array.from({ length: 1000 }, () => [nan, -inf, inf, 0, -0, 1, 2][random.below(7)]!);
  for (const title of ways) {
    const dev = await opened(title);
    for (const [x, want] of [
      [
        [0, -0, 0, -0],
        [0, 1, 2, 3],
      ],
      [
        [nan, 3, nan, -inf, 3, inf, 1],
        [3, 6, 1, 4, 5, 0, 2],
      ],
      [
        [nan, nan, nan],
        [0, 1, 2],
      ],
      [many, order(Float64Array.from(many))],
    ] as const) {
      const tensor = dev.tensor(Float32Array.from(x), [x.length]);
      const got = argsort(tensor);
      expect([...(await got.data())]).toEqual(want);
      disposeAll(tensor, got);
    }
  }
});

test("sort: the gradient goes back to where an element stood, in the order of equal ones", async () => {
  const dev = await opened();
  const [x, weight] = [dev.tensor([2, -1, 2, 0], [4]), dev.tensor([1, 10, 100, 1000], [4])];
  const { value, grads } = valueAndGrad({ x }, () => sum(multiply(sort(x), weight)));
  expect(await value.item()).toBe(-1 + 0 + 200 + 2000);
  expect([...(await grads.x.data())]).toEqual([100, 1, 1000, 10]);
  disposeAll(x, weight, value, grads);
});

test("argsort: too many elements, another format, another shape are refused", async () => {
  const dev = await opened();
  const [many, ints, matrix] = [dev.full([65537]), dev.full([3], 0, "i32"), dev.full([2, 2])];
  expect(() => argsort(many)).toThrow("argsort: x has 65537 elements, at most 65536 were needed");
  expect(() => sort(many)).toThrow(ShapeError);
  expect(() => argsort(ints)).toThrow(DTypeError);
  expect(() => argsort(matrix)).toThrow(ShapeError);
  disposeAll(many, ints, matrix);
});
