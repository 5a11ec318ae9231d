import { expect, test } from "vitest";
import { ConfigError, DeviceError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import { expandSpec, segmentExpand, segmentSum, spec, sum } from "../../lib/ops/segment_sum.ts";
import { checkOp, normal, type OpCase, opened } from "../support/check_op.ts";

const segments = (title: string, offsets: number[]): OpCase => ({
  title,
  floats: (random) => ({ x: normal([offsets.at(-1)!], random) }),
  ints: () => ({ offsets: { shape: [offsets.length], data: Int32Array.from(offsets) } }),
});

const cases = [
  segments("one element", [0, 1]),
  segments("31 and 33, one empty between", [0, 31, 31, 64]),
  segments("empty ones at both ends", [0, 0, 5000, 5000]),
  segments("a long one beside short ones", [0, 3, 9000, 9001]),
  segments("no elements", [0, 0, 0]),
  segments("no segments", [0]),
];

checkOp({
  spec,
  cases,
  call: ({ x, offsets }) => segmentSum(x!, offsets!),
  oracle: ({ x }, _, { offsets }) => [
    Float64Array.from({ length: offsets!.length - 1 }, (_, d) =>
      x!.subarray(offsets![d]!, offsets![d + 1]!).reduce((a, b) => a + b, 0),
    ),
  ],
});

for (const c of cases) {
  const offsets = c.ints!(new Random(0)).offsets!.data;
  checkOp({
    spec: expandSpec,
    cases: [{ ...c, floats: (random) => ({ x: normal([offsets.length - 1], random) }) }],
    call: ({ x, offsets: to }) => segmentExpand(x!, to!, offsets.at(-1)!),
    oracle: ({ x }) => [
      Float64Array.from([...x!].flatMap((v, d) => Array(offsets[d + 1]! - offsets[d]!).fill(v))),
    ],
  });
}

test("sum: all elements, and a gradient of ones", async () => {
  const dev = await opened();
  const x = dev.tensor([1, 2, 3.5], [3]);
  const { value, grads } = valueAndGrad({ x }, () => sum(x));
  expect(await value.item()).toBe(6.5);
  expect([...(await grads.x.data())]).toEqual([1, 1, 1]);
  disposeAll(x, value, grads);
});

test("segmentSum: offsets that don't cover x poison the stream", async () => {
  const dev = await opened();
  const x = dev.full([3]);
  for (const bad of [
    [0, 2],
    [1, 3],
    [0, 2, 1, 3],
  ]) {
    const offsets = dev.tensor(Int32Array.from(bad), [bad.length]);
    const y = segmentSum(x, offsets);
    await expect(y.data()).rejects.toThrow(DeviceError);
    dev.reset();
    disposeAll(offsets, y);
  }
  x.dispose();
});

test("segmentExpand: offsets that don't cover the length poison the stream", async () => {
  const dev = await opened();
  const x = dev.full([2]);
  for (const [bad, said] of [
    [[0, 1, 2], "offsets end at 2, there are 3 rows"],
    [[1, 2, 3], "offsets begin at 1, needed 0"],
    [[0, 4, 3], "offsets fall from 4 to 3 at entry 2"],
  ] as const) {
    const offsets = dev.tensor(Int32Array.from(bad), [3]);
    const y = segmentExpand(x, offsets, 3);
    await expect(y.data()).rejects.toThrow(said);
    dev.reset();
    disposeAll(offsets, y);
  }
  x.dispose();
});

test("segmentExpand: a length that is no whole number is refused", async () => {
  const dev = await opened();
  const [x, offsets] = [dev.full([1]), dev.full([2], 0, "i32")];
  for (const length of [-1, 1.5, Number.NaN])
    expect(() => segmentExpand(x, offsets, length)).toThrow(ConfigError);
  disposeAll(x, offsets);
});
