import { expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { withRandomStreams } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { dropout, spec } from "../../lib/ops/dropout.ts";
import { checkOp, normal, type OpCase, opened } from "../support/check_op.ts";
import { philox } from "../support/philox.ts";

const sizes = (title: string, shape: number[]): OpCase => ({
  title,
  floats: (random) => ({ x: normal(shape, random) }),
});
const at = { seed: 2 ** 40 + 3, first: 5 };
const p = 0.3;

// The oracle decides each element by its own number, so the central differences show that the gradient has the same mask.
checkOp({
  spec,
  cases: [
    sizes("one element", [1, 1]),
    sizes("31 columns", [3, 31]),
    sizes("33 columns", [40, 33]),
    sizes("over one task", [20, 1000]),
    sizes("no rows", [0, 8]),
  ],
  call: ({ x }) => withRandomStreams(at, () => dropout(x!, p)),
  oracle: (() => {
    const draws: number[] = [];
    return ({ x }) => {
      for (let i = draws.length; i < x!.length; i += 4)
        draws.push(...philox(at.seed, at.first, i / 4).map((word) => Math.floor(word / 2 ** 8) / 2 ** 24));
      return [x!.map((v, i) => (draws[i]! >= p ? v / (1 - p) : 0))];
    };
  })(),
});

test("dropout: the mean is kept, to 4 sigma", async () => {
  const dev = await opened();
  const n = 200_000;
  const x = dev.full([1, n], 1);
  for (const rate of [0.1, 0.5, 0.9]) {
    const y = withRandomStreams({ seed: 1, first: 0 }, () => dropout(x, rate));
    const mean = Float64Array.from(await y.data()).reduce((a, b) => a + b, 0) / n;
    expect(Math.abs(mean - 1)).toBeLessThan(4 * Math.sqrt(rate / (1 - rate) / n));
    y.dispose();
  }
  x.dispose();
});

test("dropout: the seed and the order of calls decide the mask", async () => {
  const dev = await opened();
  const x = dev.full([100, 10], 1);
  const two = (seed: number) =>
    withRandomStreams({ seed, first: 0 }, () => [dropout(x, 0.5), dropout(x, 0.5)] as const);
  const [first, again, other] = [two(1), two(1), two(2)];
  const read = (tensor: (typeof first)[0]) => tensor.data();
  expect(await read(again[0])).toEqual(await read(first[0]));
  expect(await read(again[1])).toEqual(await read(first[1]));
  expect(await read(first[1])).not.toEqual(await read(first[0]));
  expect(await read(other[0])).not.toEqual(await read(first[0]));
  disposeAll(x, first, again, other);
});

test("dropout: p = 0 gives x itself, p out of range is refused", async () => {
  const dev = await opened();
  const x = dev.full([2, 2]);
  expect(dropout(x, 0)).toBe(x);
  for (const bad of [1, -0.1, Number.NaN]) expect(() => dropout(x, bad)).toThrow(ConfigError);
  x.dispose();
});
