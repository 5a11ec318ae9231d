import { describe, expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { add, scale } from "../../lib/ops/add.ts";
import {
  entropySpec,
  linearCrossEntropy,
  linearCrossEntropyAndLogProb,
  lossAndLogProbSpec,
  lossSpec,
  spec,
  tokenLogProb,
  tokenLogProbAndEntropy,
} from "../../lib/ops/linear_cross_entropy.ts";
import { sum } from "../../lib/ops/segment_sum.ts";
import {
  checkOp,
  normal,
  type OpCase,
  type OpCheck,
  opened,
  relativeError,
  ways,
} from "../support/check_op.ts";

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

const cases = [
  sizes("one token of one", 1, 1, 1, never),
  sizes("31 tokens in the vocabulary, some without a target", 33, 9, 31, (t) => t % 3 === 1),
  sizes("33 columns, 500 tokens in the vocabulary", 5, 33, 500, never),
  sizes("more rows than are taken at a time", 131, 7, 101, (t) => t % 50 === 49),
  sizes("a vocabulary of many blocks, fewer columns than rows", 40, 3, 1700, never),
  sizes("nothing but -100", 4, 8, 7, () => true),
  sizes("no rows", 0, 8, 7, never),
];

type Arguments = Parameters<OpCheck["oracle"]>;

/** `of` the log-probabilities of each row's whole vocabulary, and its target; 0 for target −100. */
function rows(
  [{ x, weight }, shapes, { targets }]: Arguments,
  of: (logProbs: Float64Array, target: number) => number,
): Float64Array {
  const [V, D] = shapes.weight as [number, number];
  const logits = new Float64Array(V);
  return Float64Array.from(targets!, (target, t) => {
    if (target === -100) return 0;
    for (let id = 0; id < V; id++) {
      logits[id] = 0;
      for (let d = 0; d < D; d++) logits[id]! += x![t * D + d]! * weight![id * D + d]!;
    }
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const logSum = Math.log(logits.reduce((sum, z) => sum + Math.exp(z - largest), 0));
    return of(
      logits.map((z) => z - largest - logSum),
      target,
    );
  });
}
const logProbs = (...given: Arguments) => rows(given, (all, target) => all[target]!);
const entropies = (...given: Arguments) =>
  rows(given, (all) => all.reduce((sum, logProb) => sum - Math.exp(logProb) * logProb, 0));

checkOp({
  spec,
  cases,
  call: ({ x, weight, targets }) => tokenLogProb(x!, weight!, targets!),
  oracle: (v, shapes, ints) => [logProbs(v, shapes, ints)],
});

checkOp({
  spec: entropySpec,
  cases: [...cases, sizes("more logits than a block holds", 640, 2, 1700, (t) => t % 9 === 0)],
  gradientOf: [],
  call: ({ x, weight, targets }) => {
    const { logProb, entropy } = tokenLogProbAndEntropy(x!, weight!, targets!);
    return [logProb, entropy];
  },
  oracle: (...given) => [logProbs(...given), entropies(...given)],
});

checkOp({
  spec: lossSpec,
  cases,
  call: ({ x, weight, targets }) => linearCrossEntropy(x!, weight!, targets!, { scale: 0.3 }),
  oracle: (v, shapes, ints) => [
    Float64Array.of(-0.3 * logProbs(v, shapes, ints).reduce((sum, y) => sum + y, 0)),
  ],
});

checkOp({
  spec: lossAndLogProbSpec,
  cases,
  gradientOf: [],
  call: ({ x, weight, targets }) => {
    const { loss, logProb } = linearCrossEntropyAndLogProb(x!, weight!, targets!, { scale: 0.3 });
    return [loss, logProb];
  },
  oracle: (v, shapes, ints) => {
    const each = logProbs(v, shapes, ints);
    return [Float64Array.of(-0.3 * each.reduce((sum, y) => sum + y, 0)), each];
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

test("tokenLogProbAndEntropy: an even, a two-way and a certain distribution, on large logits too", async () => {
  const logits = [
    [40, 40, 40, 40],
    [100, 100, -100, -100],
    [-10, 10, -10, -1000],
    [0, Math.log(3), -1000, -1000],
  ];
  const rare = Math.exp(-20);
  const want = [
    Math.log(4),
    Math.LN2,
    Math.log1p(2 * rare) + (2 * rare * 20) / (1 + 2 * rare),
    -0.25 * Math.log(0.25) - 0.75 * Math.log(0.75),
  ];
  for (const title of ways) {
    const dev = await opened(title);
    const x = dev.tensor(logits.flat(), [4, 4]);
    const weight = dev.tensor([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], [4, 4]);
    const targets = dev.tensor(Int32Array.of(0, 3, 1, 1), [4]);
    const got = tokenLogProbAndEntropy(x, weight, targets);
    const entropy = await got.entropy.data();
    want.forEach((h, t) => {
      expect(entropy[t], `row ${t}`).toBeCloseTo(h, 6);
    });
    disposeAll(x, weight, targets, got);
  }
});

test("tokenLogProbAndEntropy: the log-probability and its gradients are tokenLogProb's, the entropy has none", async () => {
  for (const title of ways) {
    const dev = await opened(title);
    const random = new Random(8);
    const [T, D, V] = [70, 6, 1000];
    const x = dev.tensor(Float32Array.from(normal([T, D], random).data), [T, D]);
    const weight = dev.tensor(Float32Array.from(normal([V, D], random).data), [V, D]);
    const targets = dev.tensor(
      Int32Array.from({ length: T }, (_, t) => (t % 7 === 3 ? -100 : random.below(V))),
      [T],
    );
    const plain = valueAndGrad({ x, weight }, () => sum(tokenLogProb(x, weight, targets)));
    const both = valueAndGrad({ x, weight }, () => {
      const { logProb, entropy } = tokenLogProbAndEntropy(x, weight, targets);
      return add(sum(logProb), sum(entropy), { beta: 0 });
    });
    expect(await both.value.data()).toEqual(await plain.value.data());
    expect(await both.grads.x.data()).toEqual(await plain.grads.x.data());
    expect(await both.grads.weight.data()).toEqual(await plain.grads.weight.data());
    disposeAll(x, weight, targets, plain, both);
  }
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

/** Loss and gradients of x and weight, in both ways. */
async function bothWays(dtype: "f32" | "bf16", T: number, of: (one: () => Tensor) => Tensor) {
  const dev = await opened();
  const random = new Random(3);
  const [D, V] = [12, 150];
  const x = dev.tensor(Float32Array.from(normal([T, D], random).data), [T, D], { dtype });
  const weight = dev.tensor(Float32Array.from(normal([V, D], random).data), [V, D], { dtype });
  const targets = dev.tensor(
    Int32Array.from({ length: T }, (_, t) => (t % 5 === 4 ? -100 : random.below(V))),
    [T],
  );
  const read = async (params: Record<string, Tensor>, one: () => Tensor) => {
    const { value, grads } = valueAndGrad(params, () => of(one));
    const numbers: Record<string, Float32Array | Int32Array> = { value: await value.data() };
    for (const [name, grad] of Object.entries(grads)) numbers[name] = await grad.data();
    disposeAll(value, grads);
    return numbers;
  };
  const loss = () => linearCrossEntropy(x, weight, targets, { scale: 1 / T });
  const composed = () => scale(sum(tokenLogProb(x, weight, targets)), -1 / T);
  const results = {
    got: await read({ x, weight }, loss),
    want: await read({ x, weight }, composed),
    onlyX: await read({ x }, loss),
    onlyWeight: await read({ weight }, loss),
  };
  disposeAll(x, weight, targets);
  return results;
}

describe.each(["f32", "bf16"] as const)("linearCrossEntropy %s gives what tokenLogProb gives", (dtype) => {
  test.each<[string, (one: () => Tensor) => Tensor]>([
    ["alone", (one) => one()],
    ["twice", (one) => add(one(), one())],
    ["once as it is, then scaled", (one) => add(one(), scale(one(), 3))],
    ["scaled, then as it is", (one) => add(scale(one(), -2), one())],
  ])("%s", async (_, of) => {
    const { got, want, onlyX, onlyWeight } = await bothWays(dtype, 100, of);
    for (const name of ["value", "x", "weight"])
      expect(relativeError(got[name]!, want[name]!), name).toBeLessThan(dtype === "f32" ? 1e-5 : 1e-2);
    expect(onlyX).toEqual({ value: got.value, x: got.x });
    expect(onlyWeight).toEqual({ value: got.value, weight: got.weight });
  });
});

test("linearCrossEntropyAndLogProb: the bits of linearCrossEntropy, and each row's log-probability, 0 without a target", async () => {
  const dev = await opened();
  const random = new Random(6);
  const [T, D, V] = [300, 8, 50];
  const params = {
    x: dev.tensor(Float32Array.from(normal([T, D], random).data), [T, D]),
    weight: dev.tensor(Float32Array.from(normal([V, D], random).data), [V, D]),
  };
  const targets = dev.tensor(
    Int32Array.from({ length: T }, (_, t) => (t % 3 === 1 ? -100 : random.below(V))),
    [T],
  );
  const options = { scale: 1 / T };
  const plain = valueAndGrad(params, () => linearCrossEntropy(params.x, params.weight, targets, options));
  let each: Promise<ArrayLike<number>> | undefined;
  const both = valueAndGrad(params, () => {
    const { loss, logProb } = linearCrossEntropyAndLogProb(params.x, params.weight, targets, options);
    each = logProb.data();
    return loss;
  });
  expect(await both.value.data()).toEqual(await plain.value.data());
  for (const name of ["x", "weight"] as const)
    expect(await both.grads[name].data()).toEqual(await plain.grads[name].data());
  const alone = tokenLogProb(params.x, params.weight, targets);
  expect(relativeError(await each!, await alone.data())).toBeLessThan(1e-5);
  expect((await each!)[1]).toBe(0);
  disposeAll(params, targets, plain, both, alone);
});

test("linearCrossEntropy: gradients are added to those of an earlier batch", async () => {
  const dev = await opened();
  const random = new Random(4);
  const weight = dev.tensor(Float32Array.from(normal([30, 6], random).data), [30, 6]);
  const batches = [1, 2].map(() => ({
    x: dev.tensor(Float32Array.from(normal([9, 6], random).data), [9, 6]),
    targets: dev.tensor(
      Int32Array.from({ length: 9 }, () => random.below(30)),
      [9],
    ),
  }));
  const pass = (i: number, into?: { weight: Tensor }) => {
    const { x, targets } = batches[i]!;
    return valueAndGrad({ weight }, () => linearCrossEntropy(x, weight, targets), into ? { into } : {});
  };
  const [first, second] = [pass(0), pass(1)];
  const want = Float32Array.from(await first.grads.weight.data());
  (await second.grads.weight.data()).forEach((y, i) => {
    want[i]! += y;
  });
  const added = pass(1, first.grads);
  expect(added.grads.weight).toBe(first.grads.weight);
  expect(relativeError(await added.grads.weight.data(), want)).toBeLessThan(1e-6);
  disposeAll(weight, batches, first, second, added.value);
});

test("linearCrossEntropy: a target outside of the vocabulary poisons the stream", async () => {
  const dev = await opened();
  const [x, weight] = [dev.full([2, 3]), dev.full([5, 3])];
  const targets = dev.tensor(Int32Array.of(0, 7), [2]);
  const pass = async () => {
    // Throws itself if the stream is through with the loss before the gradients are asked for.
    const { value, grads } = valueAndGrad({ x, weight }, () => linearCrossEntropy(x, weight, targets));
    await value.data().finally(() => disposeAll(value, grads));
  };
  await expect(pass()).rejects.toThrow("row 1 holds target 7, the vocabulary has 5 entries");
  dev.reset();
  disposeAll(x, weight, targets);
});
