import { expect, test } from "vitest";
import type { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { spec, tokenLogProb } from "../../lib/ops/linear_cross_entropy.ts";
import { checkOp, normal, type OpCase, opened } from "../support/check_op.ts";

const sizes = (title: string, T: number, D: number, V: number, ignored: (t: number) => boolean): OpCase => ({
  title,
  floats: (random) => ({ x: normal([T, D], random), weight: normal([V, D], random, 0.5) }),
  ints: (random: Random) => ({
    targets: {
      shape: [T],
      data: Int32Array.from({ length: T }, (_, t) => (ignored(t) ? -100 : random.below(V))),
    },
  }),
});
const never = () => false;

checkOp({
  spec,
  cases: [
    sizes("one token of one", 1, 1, 1, never),
    sizes("31 tokens in the vocabulary, some without a target", 33, 9, 31, (t) => t % 3 === 1),
    sizes("33 columns, 500 tokens in the vocabulary", 5, 33, 500, never),
    sizes("nothing but -100", 4, 8, 7, () => true),
    sizes("no rows", 0, 8, 7, never),
  ],
  call: ({ x, weight, targets }) => tokenLogProb(x!, weight!, targets!),
  oracle: ({ x, weight }, shapes, { targets }) => {
    const [V, D] = shapes.weight as [number, number];
    const logit = (t: number, id: number) => {
      let dot = 0;
      for (let d = 0; d < D; d++) dot += x![t * D + d]! * weight![id * D + d]!;
      return dot;
    };
    return [
      Float64Array.from(targets!, (target, t) => {
        if (target === -100) return 0;
        const logits = Array.from({ length: V }, (_, id) => logit(t, id));
        const largest = Math.max(...logits);
        return (
          logits[target]! - largest - Math.log(logits.reduce((sum, z) => sum + Math.exp(z - largest), 0))
        );
      }),
    ];
  },
});

test("tokenLogProb: large logits stay finite", async () => {
  const dev = await opened();
  const [x, weight] = [dev.full([1, 1], 100), dev.tensor([0, 1, 3], [3, 1])];
  const targets = dev.tensor(Int32Array.of(1), [1]);
  const logprob = tokenLogProb(x, weight, targets);
  expect(await logprob.item()).toBeCloseTo(-200, 4);
  disposeAll(x, weight, targets, logprob);
});

test("tokenLogProb: a target outside of the vocabulary poisons the stream", async () => {
  const dev = await opened();
  const [x, weight] = [dev.full([2, 3]), dev.full([5, 3])];
  for (const bad of [5, -1]) {
    const targets = dev.tensor(Int32Array.of(0, bad), [2]);
    const logprob = tokenLogProb(x, weight, targets);
    await expect(logprob.data()).rejects.toThrow(new RegExp(`1 .*${bad}.*5`));
    dev.reset();
    disposeAll(targets, logprob);
  }
  disposeAll(x, weight);
});
