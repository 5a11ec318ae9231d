import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { device } from "../../../lib/core/device.ts";
import { valueAndGrad } from "../../../lib/core/tape.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import * as losses from "../../../lib/train/preference/index.ts";
import type { Divergence } from "../../../lib/train/preference/pair.ts";

// The oracle: each loss of one pair in float64, written as the papers have it. c, r are log-ratios, n, m token counts.
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const logSigmoid = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

interface Case {
  beta: number;
  eps: number;
  c: number;
  r: number;
  n: number;
  m: number;
}
type Inputs = Parameters<typeof losses.ipo>[0] & { labelSmoothing?: number };

const referenced: Record<
  string,
  { ours: (inputs: Inputs) => Tensor; oracle: (of: Case) => number; start: number }
> = {
  dpo: {
    ours: losses.dpo,
    oracle: ({ beta, eps, c, r }) =>
      -(1 - eps) * logSigmoid(beta * (c - r)) - eps * logSigmoid(-beta * (c - r)),
    start: Math.LN2,
  },
  hinge: { ours: losses.hinge, oracle: ({ beta, c, r }) => Math.max(0, 1 - beta * (c - r)), start: 1 },
  ipo: {
    ours: losses.ipo,
    oracle: ({ beta, c, r, n, m }) => (c / n - r / m - 1 / (2 * beta)) ** 2,
    start: 25,
  },
  robust: {
    ours: losses.robust,
    oracle: ({ beta, eps, c, r }) =>
      (-(1 - eps) * logSigmoid(beta * (c - r)) + eps * logSigmoid(-beta * (c - r))) / (1 - 2 * eps),
    start: Math.LN2,
  },
  exoPair: {
    ours: losses.exoPair,
    oracle: ({ beta, eps, c, r }) => {
      const q = sigmoid(beta * (c - r));
      return q * (Math.log(q) - Math.log(1 - eps)) + (1 - q) * (Math.log(1 - q) - Math.log(eps));
    },
    start: 2.761231,
  },
  ncaPair: {
    ours: losses.ncaPair,
    oracle: ({ beta, c, r }) =>
      -logSigmoid(beta * c) - 0.5 * logSigmoid(-beta * c) - 0.5 * logSigmoid(-beta * r),
    start: 2 * Math.LN2,
  },
  bcoPair: {
    ours: losses.bcoPair,
    oracle: ({ beta, c, r }) => -logSigmoid(beta * c) - logSigmoid(-beta * r),
    start: 2 * Math.LN2,
  },
  sppoHard: {
    ours: losses.sppoHard,
    oracle: ({ beta, c, r }) => (c - 0.5 / beta) ** 2 + (r + 0.5 / beta) ** 2,
    start: 50,
  },
  apoZero: {
    ours: losses.apoZero,
    oracle: ({ beta, c, r }) => 1 - sigmoid(beta * c) + sigmoid(beta * r),
    start: 1,
  },
  apoDown: {
    ours: losses.apoDown,
    oracle: ({ beta, c, r }) => sigmoid(beta * c) + 1 - sigmoid(beta * (c - r)),
    start: 1,
  },
  discopop: {
    ours: losses.discopop,
    oracle: ({ beta, c, r }) => {
      const x = beta * (c - r);
      const mix = sigmoid(x / 0.05);
      return (1 - mix) * -logSigmoid(x) + mix * Math.exp(-x);
    },
    start: 0.846574,
  },
  sigmoidNorm: {
    ours: losses.sigmoidNorm,
    oracle: ({ beta, c, r, n, m }) => -logSigmoid(beta * (c / n - r / m)),
    start: Math.LN2,
  },
};
const smoothed = ["dpo", "robust", "exoPair"];

const cpu = await device("cpu", { threads: 1 });
const list = (...values: number[]): Tensor => cpu.tensor(Float32Array.from(values), [values.length]);
async function value(loss: Tensor): Promise<number> {
  using scalar = loss;
  return await scalar.item();
}

/** A loss and its gradient with respect to the policy's log-probabilities. */
async function evaluate(
  ours: (inputs: Inputs) => Tensor,
  pairs: { c: number; r: number; n: number; m: number }[],
  settings: Partial<Inputs> = {},
) {
  const column = (key: "c" | "r" | "n" | "m") => list(...pairs.map((pair) => pair[key]));
  using chosen = column("c");
  using rejected = column("r");
  using zero = list(...pairs.map(() => 0));
  using chosenTokens = column("n");
  using rejectedTokens = column("m");
  const { value: loss, grads } = valueAndGrad({ chosen, rejected }, () =>
    ours({ chosen, rejected, refChosen: zero, refRejected: zero, chosenTokens, rejectedTokens, ...settings }),
  );
  const result = {
    loss: await loss.item(),
    chosen: await grads.chosen.data(),
    rejected: await grads.rejected.data(),
  };
  for (const tensor of [loss, grads.chosen, grads.rejected]) tensor.dispose();
  return result;
}

describe.each(Object.entries(referenced))("%s", (name, { ours, oracle, start }) => {
  test("starts where policy and reference agree", async () => {
    const { loss } = await evaluate(ours, [{ c: 0, r: 0, n: 3, m: 4 }]);
    expect(loss).toBeCloseTo(start, 5);
  });

  test("value and gradient follow the float64 formula and its central differences", async () => {
    const settings = { beta: 0.3, ...(smoothed.includes(name) && { labelSmoothing: 0.15 }) };
    const at = { beta: 0.3, eps: 0.15 };
    const pairs = [
      { c: 1.3, r: -0.4, n: 3, m: 5 },
      { c: -2, r: 0.7, n: 1, m: 2 },
      { c: 0.1, r: 4, n: 7, m: 7 },
    ];
    const got = await evaluate(ours, pairs, settings);
    const mean = pairs.reduce((sum, pair) => sum + oracle({ ...at, ...pair }), 0) / pairs.length;
    expect(got.loss / mean).toBeCloseTo(1, 5);
    const step = 1e-5;
    pairs.forEach((pair, i) => {
      for (const [key, grad] of [
        ["c", got.chosen],
        ["r", got.rejected],
      ] as const) {
        const up = oracle({ ...at, ...pair, [key]: pair[key] + step });
        const down = oracle({ ...at, ...pair, [key]: pair[key] - step });
        const slope = (up - down) / (2 * step) / pairs.length;
        expect(Math.abs(grad[i]! - slope), `d/d${key} of pair ${i}`).toBeLessThan(
          2e-5 * Math.max(1, Math.abs(slope)),
        );
      }
    });
  });

  test("a constant on both log-probabilities of policy and reference changes nothing", async () => {
    using chosen = list(-20, -31);
    using rejected = list(-25, -30);
    using refChosen = list(-21, -29);
    using refRejected = list(-24, -33);
    const plain = await value(
      ours({ chosen, rejected, refChosen, refRejected, chosenTokens: [3, 4], rejectedTokens: [5, 2] }),
    );
    const shifted = async (x: Tensor) => {
      const values = await x.data();
      return list(...[...values].map((v) => v - 8));
    };
    using c = await shifted(chosen);
    using r = await shifted(rejected);
    using rc = await shifted(refChosen);
    using rr = await shifted(refRejected);
    const same = await value(
      ours({
        chosen: c,
        rejected: r,
        refChosen: rc,
        refRejected: rr,
        chosenTokens: [3, 4],
        rejectedTokens: [5, 2],
      }),
    );
    expect(same).toBeCloseTo(plain, 5);
  });

  test("the order of pairs doesn't matter", async () => {
    const pairs = [
      { c: 1.3, r: -0.4, n: 3, m: 5 },
      { c: -2, r: 0.7, n: 1, m: 2 },
      { c: 0.1, r: 4, n: 7, m: 7 },
    ];
    const forth = await evaluate(ours, pairs);
    const back = await evaluate(ours, [...pairs].reverse());
    expect(back.loss).toBeCloseTo(forth.loss, 6);
  });

  test("refuses a beta that is not above 0", () => {
    using x = list(0);
    expect(() => ours({ chosen: x, rejected: x, refChosen: x, refRejected: x, beta: 0 })).toThrow(
      /beta is 0/,
    );
  });
});

describe("hand values, β = 0.1", () => {
  const at = async (ours: (inputs: Inputs) => Tensor, c: number, r: number, settings: Partial<Inputs> = {}) =>
    (await evaluate(ours, [{ c, r, n: 1, m: 1 }], settings)).loss;

  test.each([
    [6, 0.437488, 0.4, 1],
    [-6, 1.037488, 1.6, 121],
    [1, 0.644397, 0.9, 16],
    [-1, 0.744397, 1.1, 36],
  ])("Δ = %d (P2)", async (delta, dpo, hinge, ipo) => {
    expect(await at(losses.dpo, delta, 0)).toBeCloseTo(dpo, 5);
    expect(await at(losses.hinge, delta, 0)).toBeCloseTo(hinge, 5);
    expect(await at(losses.ipo, delta, 0)).toBeCloseTo(ipo, 4);
  });

  test("gradients at Δ = 6 (P2)", async () => {
    const pair = [{ c: 6, r: 0, n: 1, m: 1 }];
    expect((await evaluate(losses.dpo, pair)).chosen[0]).toBeCloseTo(-0.035434, 6);
    expect((await evaluate(losses.hinge, pair)).chosen[0]).toBeCloseTo(-0.1, 6);
    expect((await evaluate(losses.ipo, pair)).chosen[0]).toBeCloseTo(2, 5);
  });

  test("label smoothing (P3), and 0.5 of it would leave nothing to learn (P7)", async () => {
    expect(await at(losses.dpo, 6, 0, { labelSmoothing: 0.1 })).toBeCloseTo(0.497488, 5);
    expect(await at(losses.robust, 6, 0, { labelSmoothing: 0.1 })).toBeCloseTo(0.362488, 5);
    const half = await evaluate(losses.dpo, [{ c: 0, r: 0, n: 1, m: 1 }], { labelSmoothing: 0.4999999 });
    expect(Math.abs(half.chosen[0]!)).toBeLessThan(1e-7);
    expect(() => losses.dpo({ ...({} as Inputs), labelSmoothing: 0.5 })).toThrow(/labelSmoothing is 0.5/);
  });

  test("KTO (P4)", async () => {
    using policy = list(2);
    using reference = list(0);
    const loss = (labels: boolean[], x = policy) =>
      value(losses.kto({ policy: x, reference, labels, kl: 0.5 }));
    expect(await loss([true])).toBeCloseTo(0.46257, 6);
    expect(await loss([false])).toBeCloseTo(0.53743, 6);
    using minus = list(-1);
    expect(await loss([true], minus)).toBeCloseTo(0.53743, 6);
    expect(await loss([false], minus)).toBeCloseTo(0.46257, 6);
    expect(await value(losses.kto({ policy: reference, reference, labels: [true], kl: 0 }))).toBe(0.5);
    expect(await value(losses.apoZeroUnpaired({ policy, reference, labels: [false] }))).toBeCloseTo(
      sigmoid(0.2),
      6,
    );
  });

  test("c = 2, r = −1 (P4)", async () => {
    expect(await at(losses.apoZero, 2, -1)).toBeCloseTo(0.925187, 6);
    expect(await at(losses.apoDown, 2, -1)).toBeCloseTo(0.975391, 6);
    expect(await at(losses.sppoHard, 2, -1)).toBeCloseTo(25, 4);
    expect(await at(losses.ncaPair, 2, -1)).toBeCloseTo(1.319407, 5);
    expect(await at(losses.bcoPair, 2, -1)).toBeCloseTo(-logSigmoid(0.2) - logSigmoid(0.1), 5);
  });

  test("ORPO and SimPO (P5)", async () => {
    using chosen = list(-0.5);
    using rejected = list(-1);
    using nll = list(0.5);
    expect(await value(losses.orpo({ chosen, rejected, nll }))).toBeCloseTo(0.53203, 5);
    using lower = list(-1);
    using lowest = list(-1.5);
    const both = { chosen: lower, rejected: lowest, beta: 2 };
    expect(await value(losses.simpo({ ...both, gamma: 1 }))).toBeCloseTo(Math.LN2, 5);
    expect(await value(losses.simpo({ ...both, gammaBetaRatio: 0.5 }))).toBeCloseTo(Math.LN2, 5);
    expect(() => losses.simpo({ ...both, gamma: 1, gammaBetaRatio: 0.5 })).toThrow(/one of them was needed/);
    const summed = {
      chosen: cpu.tensor(Float32Array.of(-4), [1]),
      rejected: cpu.tensor(Float32Array.of(-3), [1]),
    };
    const counts = { chosenTokens: [4], rejectedTokens: [2] };
    expect(await value(losses.simpo({ ...summed, ...counts, beta: 2, gamma: 1 }))).toBeCloseTo(Math.LN2, 5);
    for (const tensor of Object.values(summed)) tensor.dispose();
  });

  test("Bradley–Terry (P6)", async () => {
    using chosen = list(1);
    using rejected = list(-0.5);
    expect(await value(losses.bradleyTerry({ chosen, rejected }))).toBeCloseTo(0.201413, 6);
    expect(await value(losses.bradleyTerry({ chosen, rejected, margin: [0.5] }))).toBeCloseTo(0.313262, 6);
    expect(await value(losses.bradleyTerry({ chosen, rejected, centering: 0.01 }))).toBeCloseTo(0.203913, 6);
  });

  test("IPO is least at an average margin of 5 (P8)", async () => {
    const there = await evaluate(losses.ipo, [{ c: 20, r: 10, n: 2, m: 2 }]);
    expect(there.loss).toBeCloseTo(0, 6);
    expect(there.chosen[0]).toBeCloseTo(0, 5);
  });

  test("f-divergences (P9)", async () => {
    const divergences: Divergence[] = ["reverseKl", "forwardKl", "js", { alpha: 0.5 }, { alpha: 2 }];
    for (const divergence of divergences)
      expect(await at(losses.dpo, 0, 0, { divergence })).toBeCloseTo(Math.LN2, 6);
    const near = await at(losses.dpo, 2, -1, { divergence: { alpha: 1 + 1e-7 } });
    expect(near).toBeCloseTo(await at(losses.dpo, 2, -1), 6);
    const oracle: [Divergence, (x: number) => number][] = [
      ["forwardKl", (x) => -Math.exp(-x)],
      ["js", logSigmoid],
      [{ alpha: 0.5 }, (x) => Math.exp(-0.5 * x) / -0.5],
    ];
    for (const [divergence, score] of oracle) {
      const want = -logSigmoid(0.1 * (score(1.2) - score(-0.7)));
      expect(await at(losses.dpo, 1.2, -0.7, { divergence })).toBeCloseTo(want, 5);
    }
    // Far apart: the exponent is held below f32's end.
    expect(await at(losses.dpo, -500, 500, { divergence: { alpha: 2 } })).toBeGreaterThan(1e30);
  });
});

test("swapping the pair turns the margin's sign round", async () => {
  await fc.assert(
    fc.asyncProperty(fc.double({ min: -40, max: 40, noNaN: true }), async (delta) => {
      const forth = await evaluate(losses.dpo, [{ c: delta, r: 0, n: 1, m: 1 }]);
      const back = await evaluate(losses.dpo, [{ c: 0, r: delta, n: 1, m: 1 }]);
      expect(back.loss - forth.loss).toBeCloseTo(0.1 * delta, 4);
      expect(back.chosen[0]! + forth.chosen[0]!).toBeCloseTo(-0.1, 5);
    }),
    { numRuns: 50 },
  );
});

test("AOT compares order statistics, and is DPO for one pair", async () => {
  const one = [{ c: 1.5, r: -0.5, n: 1, m: 1 }];
  expect((await evaluate(losses.aot, one)).loss).toBeCloseTo((await evaluate(losses.dpo, one)).loss, 6);
  using chosen = list(-1, -5, -3);
  using rejected = list(-4, -1, -3.5);
  using refChosen = list(-2, -2, -2);
  using refRejected = list(-5, -1, -2);
  const sorted = (values: number[]) => values.sort((a, b) => a - b);
  const policy = sorted([3, -4, 0.5]);
  const reference = sorted([3, -1, 0]);
  const want = policy.reduce((sum, p, i) => sum - logSigmoid(0.1 * (p - reference[i]!)), 0) / 3;
  expect(await value(losses.aot({ chosen, rejected, refChosen, refRejected }))).toBeCloseTo(want, 6);
  const up = sorted([1, -3, -1]);
  const down = sorted([1, 0, -1.5]);
  const unpaired = up.reduce((sum, p, i) => sum - logSigmoid(0.1 * (p - down[i]!)), 0) / 3;
  expect(await value(losses.aotUnpaired({ chosen, rejected, refChosen, refRejected }))).toBeCloseTo(
    unpaired,
    6,
  );
});

test("CPO adds the likelihood of what was chosen", async () => {
  using chosen = list(-4, -6);
  using rejected = list(-5, -3);
  using nll = list(0.7);
  const pairwise = (-logSigmoid(0.1) - logSigmoid(-0.3)) / 2;
  expect(await value(losses.cpo({ chosen, rejected }))).toBeCloseTo(pairwise, 6);
  expect(await value(losses.cpo({ chosen, rejected, nll, alpha: 0.5 }))).toBeCloseTo(pairwise + 0.35, 6);
});

test("KTO's z is at least 0 and carries no gradient; a batch may have one kind of label only", async () => {
  using policy = list(1, -2);
  using reference = list(2, -0.5);
  expect(await value(losses.ktoKl({ policy, reference }))).toBe(0);
  expect(await value(losses.ktoKl({ policy: reference, reference: policy }))).toBe(1.25);
  const { value: loss, grads } = valueAndGrad({ policy }, () => {
    const kl = losses.ktoKl({ policy: reference, reference: policy });
    return losses.kto({ policy, reference, labels: [false, false], kl, undesirableWeight: 2 });
  });
  const at = (x: number) => 2 * (1 - sigmoid(0.1 * (1.25 - x)));
  expect(await value(loss)).toBeCloseTo((at(-1) + at(-1.5)) / 2, 5);
  const slope = (x: number) => (at(x + 1e-4) - at(x - 1e-4)) / 2e-4 / 2;
  const grad = await grads.policy.data();
  expect(grad[0]).toBeCloseTo(slope(-1), 5);
  expect(grad[1]).toBeCloseTo(slope(-1.5), 5);
  grads.policy.dispose();
  expect(() => losses.kto({ policy, reference, labels: [true], kl: 0 })).toThrow(
    /1 labels for 2 completions/,
  );
});

test("no pair at all is refused by name", () => {
  using none = cpu.empty([0]);
  expect(() => losses.dpo({ chosen: none, rejected: none, refChosen: none, refRejected: none })).toThrow(
    /at least one was needed/,
  );
});
