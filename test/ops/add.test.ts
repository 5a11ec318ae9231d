import { expect, test } from "vitest";
import { ShapeError } from "../../lib/core/errors.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import { add, scale, spec, weightedSum } from "../../lib/ops/add.ts";
import { checkOp, normal, type OpCase, opened, ways } from "../support/check_op.ts";

const sizes = (title: string, shape: number[]): OpCase => ({
  title,
  floats: (random) => ({ a: normal(shape, random), b: normal(shape, random) }),
});
const cases = [
  sizes("one element", [1, 1]),
  sizes("31 columns", [2, 31]),
  sizes("33 columns", [600, 33]),
  sizes("three axes", [2, 3, 5]),
  sizes("no rows", [0, 4]),
];

checkOp({
  spec,
  cases,
  call: ({ a, b }) => add(a!, b!),
  oracle: ({ a, b }) => [a!.map((v, i) => v + b![i]!)],
});
checkOp({
  spec,
  cases: cases.map((c) => ({ ...c, title: `${c.title}, weighted, a f32` })),
  alwaysF32: ["a"],
  call: ({ a, b }) => add(a!, b!, { alpha: 2, beta: -0.5 }),
  oracle: ({ a, b }) => [a!.map((v, i) => 2 * v - 0.5 * b![i]!)],
});
checkOp({
  spec: { ...spec, name: "scale", inputs: { x: "[...T, D] float" } },
  cases: cases.map((c) => ({ title: c.title, floats: (random) => ({ x: c.floats(random).a! }) })),
  call: ({ x }) => [scale(x!, -3), scale(x!, 1), add(x!, x!, { alpha: 2 })],
  oracle: ({ x }) => [x!.map((v) => -3 * v), x!, x!.map((v) => 3 * v)],
});

test("scale by 1 gives a tensor of its own", async () => {
  const dev = await opened();
  const x = dev.full([2], 5);
  const y = scale(x, 1);
  x.dispose();
  expect([...(await y.data())]).toEqual([5, 5]);
  y.dispose();
});

test("weightedSum: value and gradients", async () => {
  const dev = await opened();
  const [a, b, c] = [dev.full([1], 2), dev.full([1], 3), dev.full([1], 5)];
  const { value, grads } = valueAndGrad({ a, b, c }, () =>
    weightedSum([
      { value: a, weight: 0.5 },
      { value: b, weight: -1 },
      { value: c, weight: 2 },
      { value: a, weight: 0.25 },
    ]),
  );
  expect(await value.item()).toBe(8.5);
  expect(await Promise.all([grads.a.item(), grads.b.item(), grads.c.item()])).toEqual([0.75, -1, 2]);
  const wide = dev.full([2]);
  expect(() => weightedSum([])).toThrow(ShapeError);
  expect(() => weightedSum([{ value: wide, weight: 1 }])).toThrow(ShapeError);
  disposeAll(a, b, c, value, grads, wide);
});

test("copy: every format bit for bit, NaN with its payload too", async () => {
  for (const title of ways) {
    const dev = await opened(title);
    const words = Int32Array.from({ length: 20_001 }, (_, i) => i * 0x9e3779b1);
    words[7] = 0x7f800001; // a signalling NaN, as a float
    const bytes = new Uint8Array(words.buffer);
    for (const [dtype, size] of [
      ["f32", 20_001],
      ["i32", 20_001],
      ["bf16", 40_002],
    ] as const) {
      const [x, y] = [dev.empty([size], dtype), dev.empty([size], dtype)];
      x.write(bytes, dtype);
      run("copy", x, y);
      const none = [x.view([0]), y.view([0])];
      run("copy", ...none);
      expect(Buffer.compare(await y.bytesData(), bytes)).toBe(0);
      disposeAll(x, y, none);
    }
  }
});
