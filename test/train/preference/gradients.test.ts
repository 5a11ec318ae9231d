import path from "node:path";
import { describe, expect, test } from "vitest";
import { device } from "../../../lib/core/device.ts";
import { disposeAll, valueAndGrad } from "../../../lib/core/tape.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import { weightedSum } from "../../../lib/ops/add.ts";
import * as losses from "../../../lib/train/preference/index.ts";
import type { Divergence } from "../../../lib/train/preference/pair.ts";
import { expectClose, readJson } from "../../support/oracle.ts";

const cpu = await device("cpu", { threads: 1 });
const list = (values: readonly number[]): Tensor => cpu.tensor(Float32Array.from(values), [values.length]);
const logSigmoid = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

type Columns = Record<string, readonly number[]>;

/** A loss and its gradient against a formula in float64 and its central differences. */
async function follow(
  at: Columns,
  ours: (tensors: Record<string, Tensor>) => Tensor,
  oracle: (columns: Columns) => number,
): Promise<void> {
  const tensors = Object.fromEntries(Object.entries(at).map(([name, column]) => [name, list(column)]));
  const { value, grads } = valueAndGrad(tensors, () => ours(tensors));
  expect((await value.item()) / oracle(at)).toBeCloseTo(1, 5);
  const step = 1e-5;
  for (const [name, column] of Object.entries(at)) {
    const moved = (i: number, by: number) =>
      oracle({ ...at, [name]: column.map((x, j) => (j === i ? x + by : x)) });
    const slopes = column.map((_, i) => (moved(i, step) - moved(i, -step)) / (2 * step));
    const scale = Math.max(1, ...slopes.map(Math.abs));
    expect(Math.max(...slopes.map(Math.abs))).toBeGreaterThan(1e-3);
    expectClose(await grads[name]!.data(), slopes, 2e-5 * scale, `d/d${name}`);
  }
  disposeAll(value, grads, tensors);
}

const pairs = { chosen: [1.3, -2, 0.1, 0.8], rejected: [-0.4, 0.7, 2.5, -1.1] };
const reference = { refChosen: list([0.2, -0.5, 0, 1]), refRejected: list([-0.1, 0.3, 0.4, -0.6]) };
const ratios = ({ chosen, rejected }: Columns) => ({
  c: chosen!.map((x, i) => x - [0.2, -0.5, 0, 1][i]!),
  r: rejected!.map((x, i) => x - [-0.1, 0.3, 0.4, -0.6][i]!),
});
const both = ({ chosen, rejected }: Record<string, Tensor>) => ({
  chosen: chosen!,
  rejected: rejected!,
  ...reference,
});

test("AOT: a pair's gradient is that of the order statistic it is", async () => {
  const ascending = (values: readonly number[]) => [...values].sort((a, b) => a - b);
  const quantiles = (above: readonly number[], below: readonly number[]) =>
    mean(
      ascending(above).map((x, i) => {
        const margin = 0.3 * (x - ascending(below)[i]!);
        return -0.9 * logSigmoid(margin) - 0.1 * logSigmoid(-margin);
      }),
    );
  const settings = { beta: 0.3, labelSmoothing: 0.1 };
  await follow(
    pairs,
    (of) => losses.aotUnpaired({ ...both(of), ...settings }),
    (of) => quantiles(ratios(of).c, ratios(of).r),
  );
  await follow(
    pairs,
    (of) => losses.aot({ ...both(of), ...settings }),
    ({ chosen, rejected }) =>
      quantiles(
        chosen!.map((x, i) => x - rejected![i]!),
        [0.3, -0.8, -0.4, 1.6],
      ),
  );
});

test("APO zero on unpaired rows, weighted", async () => {
  const labels = [true, false, true, false];
  const towards = (x: number, i: number) => (labels[i] ? 2 * (1 - sigmoid(0.3 * x)) : 0.5 * sigmoid(0.3 * x));
  await follow(
    { policy: pairs.chosen },
    ({ policy }) =>
      losses.apoZeroUnpaired({
        policy: policy!,
        reference: reference.refChosen,
        labels,
        beta: 0.3,
        desirableWeight: 2,
        undesirableWeight: 0.5,
      }),
    ({ policy }) => mean(ratios({ chosen: policy!, rejected: policy! }).c.map(towards)),
  );
});

describe("f-divergences", () => {
  const scores: [string, Divergence, (x: number) => number][] = [
    ["forward KL", "forwardKl", (x) => 1 - Math.exp(-x)],
    ["Jensen–Shannon", "js", (x) => logSigmoid(x) + Math.LN2],
    ["α = 0.5", { alpha: 0.5 }, (x) => (Math.exp(-0.5 * x) - 1) / -0.5],
    ["α = 2", { alpha: 2 }, (x) => Math.exp(x) - 1],
  ];
  test.each(scores)("%s", async (_, divergence, score) => {
    const margins = (of: Columns) => ratios(of).c.map((c, i) => score(c) - score(ratios(of).r[i]!));
    await follow(
      pairs,
      (of) => losses.dpo({ ...both(of), beta: 0.3, divergence }),
      (of) => mean(margins(of).map((x) => -logSigmoid(0.3 * x))),
    );
    await follow(
      pairs,
      (of) => losses.ipo({ ...both(of), beta: 0.3, divergence }),
      (of) => mean(margins(of).map((x) => (x - 1 / 0.6) ** 2)),
    );
  });
});

test("weighted sums of losses", async () => {
  await follow(
    pairs,
    (of) =>
      weightedSum([
        { value: losses.dpo({ ...both(of), beta: 0.3 }), weight: 0.8 },
        { value: losses.bcoPair({ ...both(of), beta: 0.3 }), weight: 0.2 },
        { value: losses.hinge({ ...both(of), beta: 0.3 }), weight: -1.5 },
      ]),
    (of) => {
      const { c, r } = ratios(of);
      return mean(
        c.map((x, i) => {
          const margin = 0.3 * (x - r[i]!);
          const bco = -logSigmoid(0.3 * x) - logSigmoid(-0.3 * r[i]!);
          return -0.8 * logSigmoid(margin) + 0.2 * bco - 1.5 * Math.max(0, 1 - margin);
        }),
      );
    },
  );
});

test("IPO doesn't change when tokens of the same ratio come twice (P7)", async () => {
  const tokens = { chosen: [0.4, -0.1, 0.9], rejected: [-0.3, 0.2] };
  const of = async (times: number, counted: boolean) => {
    const sum = (values: number[]) => list([times * values.reduce((a, b) => a + b, 0)]);
    using zero = list([0]);
    using chosen = sum(tokens.chosen);
    using rejected = sum(tokens.rejected);
    const counts = { chosenTokens: [3 * times], rejectedTokens: [2 * times] };
    using loss = losses.ipo({
      ...{ chosen, rejected, refChosen: zero, refRejected: zero },
      ...(counted && counts),
    });
    return await loss.item();
  };
  expect(await of(2, true)).toBeCloseTo(await of(1, true), 5);
  expect(await of(3, true)).toBeCloseTo(await of(1, true), 5);
  expect(await of(1, true)).toBeCloseTo((0.4 - -0.05 - 5) ** 2, 4);
  expect(Math.abs((await of(2, false)) - (await of(1, false)))).toBeGreaterThan(1);
});

test("closed forms of a fixture: sigmoid, its smoothed form, hinge, IPO and KTO", async () => {
  interface Fixture {
    dpo_closed_form: Record<
      "pi_c" | "pi_r" | "ref_c" | "ref_r" | "sigmoid" | "sigmoid_ls0_1" | "hinge" | "ipo",
      number[]
    > & { beta: number };
    kto_closed_form: { kl: number; desirable: number[]; undesirable: number[] };
  }
  const golden = path.resolve(import.meta.dirname, "../../golden/rl");
  const { dpo_closed_form: of, kto_closed_form: kto } = readJson<Fixture>(golden, "rl_math.json");
  const { beta } = of;
  for (const i of of.pi_c.keys()) {
    const one = (column: number[]) => list([column[i]!]);
    const pair = {
      chosen: one(of.pi_c),
      rejected: one(of.pi_r),
      refChosen: one(of.ref_c),
      refRejected: one(of.ref_r),
    };
    const { kl } = kto;
    const up = { policy: pair.chosen, reference: pair.refChosen, labels: [true], kl, beta };
    const down = { policy: pair.rejected, reference: pair.refRejected, labels: [false], kl, beta };
    const rows = [
      [losses.dpo({ ...pair, beta }), of.sigmoid],
      [losses.dpo({ ...pair, beta, labelSmoothing: 0.1 }), of.sigmoid_ls0_1],
      [losses.hinge({ ...pair, beta }), of.hinge],
      [losses.ipo({ ...pair, beta }), of.ipo],
      [losses.kto(up), kto.desirable],
      [losses.kto(down), kto.undesirable],
    ] as const;
    for (const [k, [loss, want]] of rows.entries()) {
      expect(Math.abs((await loss.item()) / want[i]! - 1), `loss ${k} of pair ${i}`).toBeLessThan(1e-6);
      loss.dispose();
    }
    disposeAll(pair);
  }
});
