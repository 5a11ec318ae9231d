import { expect, test } from "vitest";
import { ConfigError, DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { followLoad, router, spec } from "../../lib/ops/router.ts";
import { checkOp, normal, type OpCase, opened, relativeError, ways } from "../support/check_op.ts";
import { softmaxRows, topOf } from "../support/routing.ts";

const sizes = (title: string, T: number, E: number): OpCase => ({
  title,
  floats: (random) => ({ logits: normal([T, E], random) }),
});

/** A bias that changes most choices: probabilities of E experts are about 1/E. */
const biased = (title: string, T: number, E: number): OpCase => ({
  title,
  floats: (random) => ({ logits: normal([T, E], random), bias: normal([E], random, 2 / E) }),
});

/** The weights by definition: `topK` experts of the highest probability (+ bias), weighted by probability. */
function weightsOf(
  { logits, bias }: Record<string, Float64Array>,
  [T, E]: [number, number],
  { topK, renormalize }: { topK: number; renormalize: boolean },
): Float64Array {
  const probs = softmaxRows(logits!, E);
  const weights = new Float64Array(T * topK);
  for (let t = 0; t < T; t++) {
    const row = probs.subarray(t * E, t * E + E);
    const scores = row.map((p, e) => p + (bias?.[e] ?? 0));
    const chosen = topOf(scores, topK).map((e) => row[e]!);
    const total = renormalize ? chosen.reduce((a, b) => a + b) : 1;
    chosen.forEach((p, k) => {
      weights[t * topK + k] = p / total;
    });
  }
  return weights;
}

for (const [topK, renormalize] of [
  [1, false],
  [2, true],
  [3, false],
] as const) {
  checkOp({
    spec,
    cases: [
      sizes(`${topK} of 3 experts${renormalize ? ", renormalised" : ""}`, 1, 3),
      sizes(`${topK} of 31${renormalize ? ", renormalised" : ""}`, 35, 31),
      sizes(`${topK} of 33${renormalize ? ", renormalised" : ""}`, 4, 33),
      sizes(`${topK} of 130${renormalize ? ", renormalised" : ""}`, 1, 130),
      sizes(`${topK} of 300${renormalize ? ", renormalised" : ""}`, 1, 300),
      sizes(`${topK} of 8, no tokens${renormalize ? ", renormalised" : ""}`, 0, 8),
    ],
    call: ({ logits }) => router(logits!, { topK, renormalize }).weights,
    oracle: (v, shapes) => [weightsOf(v, shapes.logits as [number, number], { topK, renormalize })],
  });
  checkOp({
    spec,
    cases: [
      biased(`${topK} of 3 experts, biased`, 5, 3),
      biased(`${topK} of 31, biased`, 35, 31),
      biased(`${topK} of 33, biased`, 67, 33),
      biased(`${topK} of 130, biased`, 3, 130),
      biased(`${topK} of 300, biased`, 3, 300),
      biased(`${topK} of 8, biased, no tokens`, 0, 8),
    ],
    call: ({ logits, bias }) => router(logits!, { topK, renormalize, bias }).weights,
    oracle: (v, shapes) => [weightsOf(v, shapes.logits as [number, number], { topK, renormalize })],
    gradientOf: ["logits"],
  });
}

test("router: the values of algorithms.md §4.1 M2", async () => {
  const dev = await opened();
  const logits = dev.tensor([2, 1, 0, -1], [1, 4]);
  const routing = router(logits, { topK: 2, renormalize: true });
  expect(relativeError(await routing.probs.data(), [0.643914, 0.236883, 0.087144, 0.032059])).toBeLessThan(
    2e-6,
  );
  expect(relativeError(await routing.weights.data(), [0.731059, 0.268941])).toBeLessThan(2e-6);
  expect([...(await routing.experts.data())]).toEqual([0, 1]);
  disposeAll(routing);
});

test("router: best first, the lower index on ties", async () => {
  const dev = await opened();
  const logits = dev.tensor([0, 3, 1, 3, 1, 1, 0, -0, 0, -0, 0, 0], [2, 6]);
  const routing = router(logits, { topK: 4, renormalize: false });
  expect([...(await routing.experts.data())]).toEqual([1, 3, 2, 4, 0, 1, 2, 3]);
  disposeAll(routing);
});

test("router: more experts than there are, or none, is refused", async () => {
  const dev = await opened();
  const logits = dev.full([2, 4]);
  for (const topK of [0, 5, 1.5]) {
    expect(() => router(logits, { topK, renormalize: false })).toThrow(ConfigError);
  }
  logits.dispose();
});

test("router: a bias chooses; the weights are those without it", async () => {
  const dev = await opened();
  const logits = dev.tensor([2, 1, 0, -1], [1, 4]);
  const bias = dev.tensor([0, 0, 0.2, 1], [4]); // scores .6439 .2369 .2871 1.0321
  const routing = router(logits, { topK: 3, renormalize: false, bias });
  expect([...(await routing.experts.data())]).toEqual([3, 0, 2]);
  expect(relativeError(await routing.weights.data(), [0.032059, 0.643914, 0.087144])).toBeLessThan(2e-6);
  const zero = dev.full([4]);
  const same = router(logits, { topK: 3, renormalize: false, bias: zero });
  expect([...(await same.experts.data())]).toEqual([0, 1, 2]);
  disposeAll(routing, same, bias, zero, logits);
});

test.each(ways)(
  "followLoad on %s: each bias moves towards the mean load of all lists together",
  async (way) => {
    const dev = await opened(way);
    const random = new Random(7);
    for (const [E, K, lengths] of [
      [2, 1, [1]],
      [3, 2, [0, 4]],
      [31, 1, [31, 0, 62]],
      [33, 8, [700, 1]],
      [300, 2, [33]],
      [4, 2, []],
    ] as const) {
      const lists = lengths.map((T) =>
        Int32Array.from({ length: T * K }, () => Math.min(random.below(E), random.below(E))),
      );
      const start = Float32Array.from({ length: E }, () => random.normal());
      const counts = Array.from(
        { length: E },
        (_, e) => lists.flatMap((l) => [...l]).filter((x) => x === e).length,
      );
      const mean = counts.reduce((a, b) => a + b) / E;
      const want = start.map((b, e) => Math.fround(b + Math.fround(0.01) * Math.sign(mean - counts[e]!)));
      const bias = dev.tensor(start, [E]);
      const chosen = lists.map((list, i) => dev.tensor(list, [lengths[i]!, K]));
      followLoad(bias, chosen, 0.01);
      expect(relativeError(await bias.data(), want)).toBeLessThan(1e-6);
      disposeAll(bias, chosen);
    }
  },
);

test("followLoad: as many choices as the mean is no reason to move", async () => {
  const dev = await opened();
  const bias = dev.tensor([0.5, 0.5, 0.5], [3]);
  const chosen = dev.tensor(Int32Array.of(0, 1, 0, 2, 1, 0), [3, 2]); // 3, 2, 1 of a mean of 2
  followLoad(bias, [chosen], 0.25);
  expect([...(await bias.data())]).toEqual([0.25, 0.5, 0.75]);
  disposeAll(bias, chosen);
});

test("followLoad: an expert that isn't there, and operands that don't fit", async () => {
  const dev = await opened();
  const bias = dev.full([3]);
  const chosen = dev.tensor(Int32Array.of(0, 3), [1, 2]);
  followLoad(bias, [chosen], 0.1);
  await expect(bias.data()).rejects.toThrow(/slot 1 holds expert 3, there are 3/);
  dev.reset();
  const floats = dev.full([1, 2]);
  expect(() => followLoad(bias, [floats], 0.1)).toThrow(DTypeError);
  const square = dev.full([2, 2]);
  expect(() => followLoad(square, [chosen], 0.1)).toThrow(ShapeError);
  disposeAll(bias, chosen, floats, square);
});
