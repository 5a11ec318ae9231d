import path from "node:path";
import { describe, expect, test } from "vitest";
import { device } from "../../../lib/core/device.ts";
import { scope } from "../../../lib/core/scope.ts";
import { disposeAll, valueAndGrad } from "../../../lib/core/tape.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import { groupAdvantages } from "../../../lib/train/rl/group_advantages.ts";
import { grpoLoss } from "../../../lib/train/rl/grpo_loss.ts";
import { klEstimate } from "../../../lib/train/rl/kl.ts";
import { klOf } from "../../../lib/train/rl/policy_run.ts";
import { ppoPolicyLoss, ppoValueLoss } from "../../../lib/train/rl/ppo_loss.ts";
import { ratioMetrics } from "../../../lib/train/rl/ratio_metrics.ts";
import { expectClose, expectLoss, readJson } from "../../support/oracle.ts";
import { testDevice } from "../../support/test_device.ts";

const golden = path.resolve(import.meta.dirname, "../../golden/rl");
type Rows = number[][];
type Names = "mask" | "logp_old" | "logp_new" | "logp_ref";
interface Float64 {
  inputs: Record<Names | "values_old" | "values_new", Rows> & { clip: number; value_clip: number };
  kl: Record<"k1" | "k2" | "k3", { masked_mean: number; sum_per_sequence: number[] }>;
  cases: {
    returns: Rows;
    advantages_whitened: Rows;
    policy_clipfrac: number;
    value_clipfrac: number;
    approx_kl_half_sq: number;
  }[];
  grpo: {
    rewards: Rows;
    group_mean: number[];
    group_std_unbiased: number[];
    batch_std_unbiased: number;
    eps: number;
    loss_inputs: Record<Names, Rows>;
    losses: { kl_token_mean: number; sequence_ratio: number[] };
  };
}
interface Padded {
  mask: number[];
  ppo_policy: { old_logp: number[]; new_logp: number[]; clip: number; clipfrac: number };
}
const { inputs, kl, cases, grpo } = readJson<Float64>(golden, "rl.json");

const dev = await device(testDevice, { threads: 2 });
const list = (values: ArrayLike<number>): Tensor => dev.tensor(Float32Array.from(values), [values.length]);
const flat = (rows: Rows, mask: Rows): number[] =>
  rows.flatMap((row, i) => row.filter((_, t) => mask[i]![t] === 1));
const offsetsOf = (mask: Rows): Int32Array => {
  const offsets = [0];
  for (const row of mask) offsets.push(offsets.at(-1)! + row.filter((m) => m === 1).length);
  return Int32Array.from(offsets);
};
async function numbers(tensor: Tensor): Promise<number[]> {
  const data = await tensor.data();
  tensor.dispose();
  return [...data];
}
const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const sumsOver = (values: readonly number[], offsets: Int32Array): number[] =>
  Array.from({ length: offsets.length - 1 }, (_, b) =>
    values.slice(offsets[b]!, offsets[b + 1]!).reduce((sum, x) => sum + x, 0),
  );

describe("float64 reference", () => {
  const { mask } = inputs;
  const offsets = offsetsOf(mask);
  const [old, ref] = [flat(inputs.logp_old, mask), flat(inputs.logp_ref, mask)];

  test.each(["k1", "k2", "k3"] as const)(
    "KL by %s of all tokens, and of each completion",
    async (estimator) => {
      using policy = list(old);
      using reference = list(ref);
      const got = await numbers(klEstimate({ policy, reference, estimator }));
      expect(meanOf(got)).toBeCloseTo(kl[estimator].masked_mean, 6);
      expectClose(sumsOver(got, offsets), kl[estimator].sum_per_sequence, 2e-6, "sums");
    },
  );

  test("the KL that is reported: the mean of completions' sums", () => {
    const columns = { logProbs: Float32Array.from(old), reference: Float32Array.from(ref) };
    expect(klOf(columns, mask.length)).toBeCloseTo(meanOf(kl.k1.sum_per_sequence), 6);
  });

  test("mean ratio, and half the mean squared log-ratio", async () => {
    const all = flat(inputs.logp_new, mask);
    using now = list(all);
    using before = list(old);
    const metrics = scope(() => ratioMetrics(now, before, inputs.clip, inputs.clip));
    for (const want of cases)
      expect(await metrics["policy/approxKl"]!.item()).toBeCloseTo(want.approx_kl_half_sq, 6);
    const ratios = all.map((x, t) => Math.exp(x - old[t]!));
    expect(await metrics["policy/ratio"]!.item()).toBeCloseTo(meanOf(ratios), 6);
    const clipped = ratios.filter((ratio) => Math.abs(ratio - 1) > inputs.clip).length;
    expect(await metrics["policy/clipFraction"]!.item()).toBeCloseTo(clipped / ratios.length, 6);
    disposeAll(metrics);
  });

  /** The share of tokens of which a loss is larger with a clip than without, of [N] columns. */
  async function clippedShare(
    columns: readonly number[][],
    clip: number,
    lossOf: (columns: readonly Tensor[], clip: number) => Tensor,
  ): Promise<number> {
    const clipped: number[] = [];
    for (const t of columns[0]!.keys()) {
      const token = columns.map((column) => list([column[t]!]));
      const [held] = await numbers(lossOf(token, clip));
      const [free] = await numbers(lossOf(token, 1e9));
      clipped.push(held! > free! + 1e-6 * Math.abs(free!) ? 1 : 0);
      disposeAll(token);
    }
    return meanOf(clipped);
  }

  test("share of tokens whose clipped loss counts, of policy and value", async () => {
    for (const want of cases) {
      const policy = [inputs.logp_new, inputs.logp_old, want.advantages_whitened];
      const ofPolicy = await clippedShare(
        policy.map((rows) => flat(rows, mask)),
        inputs.clip,
        ([logProbs, oldLogProbs, advantages], clip) =>
          ppoPolicyLoss({ logProbs: logProbs!, oldLogProbs: oldLogProbs!, advantages: advantages!, clip }),
      );
      expect(ofPolicy).toBeCloseTo(want.policy_clipfrac, 6);
      const value = [inputs.values_new, inputs.values_old, want.returns];
      const ofValue = await clippedShare(
        value.map((rows) => flat(rows, mask)),
        inputs.value_clip,
        ([values, oldValues, returns], clip) =>
          ppoValueLoss({ values: values!, oldValues: oldValues!, returns: returns!, clip }),
      );
      expect(ofValue).toBeCloseTo(want.value_clipfrac, 6);
    }
  });

  test("means and deviations inside of group advantages", async () => {
    const rewards = grpo.rewards.flat();
    using all = list(rewards);
    const advantages = (scale: "group" | "batch" | "none") =>
      numbers(groupAdvantages({ rewards: all, groupSize: 4, scale }));
    const centred = await advantages("none");
    const [byGroup, byBatch] = [await advantages("group"), await advantages("batch")];
    rewards.forEach((reward, i) => {
      const group = Math.floor(i / 4);
      expect(reward - centred[i]!).toBeCloseTo(grpo.group_mean[group]!, 6);
      if (Math.abs(centred[i]!) < 1e-6) return;
      const deviation = (scaled: number[]) => centred[i]! / scaled[i]! - grpo.eps;
      expect(deviation(byGroup)).toBeCloseTo(grpo.group_std_unbiased[group]!, 5);
      expect(deviation(byBatch)).toBeCloseTo(grpo.batch_std_unbiased, 5);
    });
  });

  test("GRPO's KL of a token, and GSPO's ratio of each completion", async () => {
    const { loss_inputs: of, losses } = grpo;
    const columns = [of.logp_new, of.logp_old, of.logp_ref].map((rows) => list(flat(rows, of.mask)));
    const [logProbs, oldLogProbs, refLogProbs] = columns as [Tensor, Tensor, Tensor];
    const estimates = await numbers(
      klEstimate({ policy: logProbs, reference: refLogProbs, estimator: "k3" }),
    );
    expect(meanOf(estimates)).toBeCloseTo(losses.kl_token_mean, 6);
    const common = { logProbs, oldLogProbs, refLogProbs, offsets: offsetsOf(of.mask) };
    const none = list([0, 0, 0, 0]);
    const [kl] = await numbers(grpoLoss({ ...common, advantages: none, lossType: "dapo", beta: 1 }));
    expect(kl).toBeCloseTo(losses.kl_token_mean, 6);
    for (const [b, want] of losses.sequence_ratio.entries()) {
      const advantages = list([0, 1, 2, 3].map((i) => (i === b ? -4 : 0)));
      const loss = grpoLoss({ ...common, advantages, lossType: "gspo", epsilonLow: 0.9, epsilonHigh: 9 });
      expectLoss((await numbers(loss))[0]!, want, `ratio ${b}`);
      advantages.dispose();
    }
    disposeAll(columns, none);
  });
});

test("share of clipped ratios of a padded implementation", async () => {
  const { mask, ppo_policy: of } = readJson<Padded>(golden, "rl_math.json");
  const kept = (column: number[]) => list(column.filter((_, t) => mask[t] === 1));
  using now = kept(of.new_logp);
  using before = kept(of.old_logp);
  const metrics = scope(() => ratioMetrics(now, before, of.clip, of.clip));
  expect(await metrics["policy/clipFraction"]!.item()).toBeCloseTo(of.clipfrac, 6);
  disposeAll(metrics);
});

test("ratios are clipped from either side by bounds of their own", async () => {
  using now = list([1.29, 1.27, 0.81, 0.79, 1].map(Math.log));
  using before = list([0, 0, 0, 0, 0]);
  const metrics = scope(() => ratioMetrics(now, before, 0.2, 0.28));
  expect(await metrics["policy/clipFraction"]!.item()).toBeCloseTo(2 / 5, 6);
  disposeAll(metrics);
});

describe("grpoLoss and its gradient: a float64 formula and its central differences", () => {
  const offsets = Int32Array.of(0, 3, 5, 9);
  const now = [-1, -2, -0.5, -1.2, -0.3, -2, -1, -0.7, -1.1];
  const before = [-1.1, -1.7, -0.6, -1.0, -0.35, -2.3, -1.05, -0.7, -1.4];
  const reference = [-1.2, -1.9, -0.4, -1, -0.2, -2.1, -0.9, -0.8, -1.3];
  const A = [1, -0.5, 0.7];
  const beta = 0.1;

  function oracle(at: readonly number[], lossType: string): number {
    let total = 0;
    A.forEach((advantage, b) => {
      const places = at.flatMap((_, t) => (t >= offsets[b]! && t < offsets[b + 1]! ? [t] : []));
      const n = places.length;
      const log = places.reduce((sum, t) => sum + at[t]! - before[t]!, 0) / n;
      let sum = 0;
      for (const t of places) {
        const ratio = Math.exp(lossType === "gspo" ? log : at[t]! - before[t]!);
        const held = Math.min(Math.max(ratio, 0.8), 1.25);
        const apart = reference[t]! - at[t]!;
        sum += beta * (Math.exp(apart) - 1 - apart) - Math.min(ratio * advantage, held * advantage);
      }
      total += lossType === "dapo" ? sum / at.length : sum / 3 / (lossType === "dr_grpo" ? 16 : n);
    });
    return total;
  }

  test.each(["grpo", "dapo", "dr_grpo", "gspo"] as const)("%s", async (lossType) => {
    const columns = [now, before, reference, A].map(list);
    const [logProbs, oldLogProbs, refLogProbs, advantages] = columns as [Tensor, Tensor, Tensor, Tensor];
    const { value, grads } = valueAndGrad({ logProbs }, () =>
      grpoLoss({
        ...{ logProbs, oldLogProbs, refLogProbs, advantages, offsets, lossType, beta },
        ...{ epsilonLow: 0.2, epsilonHigh: 0.25, maxLength: 16 },
      }),
    );
    expectLoss(await value.item(), oracle(now, lossType), lossType, 1e-6);
    const step = 1e-5;
    const moved = (i: number, by: number) =>
      oracle(
        now.map((x, t) => (t === i ? x + by : x)),
        lossType,
      );
    const slopes = now.map((_, i) => (moved(i, step) - moved(i, -step)) / (2 * step));
    expect(Math.max(...slopes.map(Math.abs))).toBeGreaterThan(0.01);
    expectClose(await grads.logProbs.data(), slopes, 1e-6, "gradient");
    disposeAll(value, grads, columns);
  });
});

test("nothing is left on the device", () => {
  expect(dev.stats().live).toBe(0);
});
