import { expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { router, spec } from "../../lib/ops/router.ts";
import { checkOp, normal, type OpCase, opened, relativeError } from "../support/check_op.ts";
import { softmaxRows, topOf } from "../support/routing.ts";

const sizes = (title: string, T: number, E: number): OpCase => ({
  title,
  floats: (random) => ({ logits: normal([T, E], random) }),
});

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
    oracle: ({ logits }, shapes) => {
      const [T, E] = shapes.logits as [number, number];
      const probs = softmaxRows(logits!, E);
      const weights = new Float64Array(T * topK);
      for (let t = 0; t < T; t++) {
        const row = probs.subarray(t * E, t * E + E);
        const chosen = topOf(row, topK).map((e) => row[e]!);
        const total = renormalize ? chosen.reduce((a, b) => a + b) : 1;
        chosen.forEach((p, k) => {
          weights[t * topK + k] = p / total;
        });
      }
      return [weights];
    },
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
