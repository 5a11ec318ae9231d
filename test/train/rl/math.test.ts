import path from "node:path";
import { describe, expect, test } from "vitest";
import { device } from "../../../lib/core/device.ts";
import { disposeAll, valueAndGrad } from "../../../lib/core/tape.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import { weightedSum } from "../../../lib/ops/add.ts";
import { gae } from "../../../lib/ops/gae.ts";
import { groupAdvantages, rlooAdvantages } from "../../../lib/train/rl/group_advantages.ts";
import { type GrpoLossType, grpoLoss } from "../../../lib/train/rl/grpo_loss.ts";
import { klEstimate, klRewards } from "../../../lib/train/rl/kl.ts";
import { ppoPolicyLoss, ppoValueLoss } from "../../../lib/train/rl/ppo_loss.ts";
import { whiten } from "../../../lib/train/rl/whiten.ts";
import { expectClose, expectLoss, readJson } from "../../support/oracle.ts";
import { testDevice } from "../../support/test_device.ts";

const golden = path.resolve(import.meta.dirname, "../../golden/rl");
type Rows = number[][];
interface Case {
  kl: "k1" | "k3";
  gamma: number;
  lambda: number;
  whiten_rewards: boolean;
  rewards: Rows;
  advantages: Rows;
  returns: Rows;
  advantages_whitened: Rows;
  policy_loss: number;
  value_loss: number;
  loss: number;
  grad_logp_new: Rows;
  grad_values_new: Rows;
}
interface Float64 {
  inputs: Record<"mask" | "logp_old" | "logp_new" | "logp_ref" | "values_old" | "values_new", Rows> & {
    score: number[];
    kl_coef: number;
    clip: number;
    value_clip: number;
  };
  kl: Record<"k1" | "k2" | "k3", { per_token: Rows }>;
  cases: Case[];
  gae_bootstrap: {
    rewards: Rows;
    values: Rows;
    value_after_last: number[];
    cases: { gamma: number; lambda: number; advantages: Rows; returns: Rows }[];
  };
  grpo: Record<
    | "rewards"
    | "advantages_scale_group"
    | "advantages_scale_batch"
    | "advantages_scale_none"
    | "rloo_advantages",
    Rows
  > & {
    loss_inputs: Record<"mask" | "logp_old" | "logp_new" | "logp_ref", Rows> & {
      advantages: number[];
      epsilon_low: number;
      epsilon_high: number;
      beta: number;
      max_completion_length: number;
    };
    losses: Record<"no_kl" | "with_kl", Record<string, number>> & { gspo_sequence_ratio: number };
  };
}
const float64 = readJson<Float64>(golden, "rl.json");

const dev = await device(testDevice, { threads: 2 });
const list = (...values: number[]): Tensor => dev.tensor(Float32Array.from(values), [values.length]);
/** Rows without their padding, laid end to end. */
const flat = (rows: Rows, mask: Rows): number[] =>
  rows.flatMap((row, i) => row.filter((_, t) => mask[i]![t] === 1));
const packed = (rows: Rows, mask: Rows): Tensor => list(...flat(rows, mask));
const offsetsOf = (mask: Rows): Int32Array => {
  const offsets = [0];
  for (const row of mask) offsets.push(offsets.at(-1)! + row.filter((m) => m === 1).length);
  return Int32Array.from(offsets);
};
async function values(tensor: Tensor): Promise<number[]> {
  const data = await tensor.data();
  tensor.dispose();
  return [...data];
}

describe("float64 reference", () => {
  const { inputs } = float64;
  const { mask } = inputs;
  const offsets = offsetsOf(mask);

  test.each(["k1", "k2", "k3"] as const)("KL by %s", async (estimator) => {
    using policy = packed(inputs.logp_old, mask);
    using reference = packed(inputs.logp_ref, mask);
    const want = flat(float64.kl[estimator].per_token, mask);
    expectClose(await values(klEstimate({ policy, reference, estimator })), want, 2e-6, estimator);
  });

  test.each(float64.cases.map((c) => [`${c.kl}, γ ${c.gamma}, whiten ${c.whiten_rewards}`, c] as const))(
    "PPO: %s",
    async (_, want) => {
      using policy = packed(inputs.logp_old, mask);
      using reference = packed(inputs.logp_ref, mask);
      using scores = list(...inputs.score);
      using oldValues = packed(inputs.values_old, mask);
      using rewards = klRewards({
        policy,
        reference,
        scores,
        offsets,
        klCoef: inputs.kl_coef,
        estimator: want.kl,
        whiten: want.whiten_rewards,
      });
      expectClose(await rewards.data(), flat(want.rewards, mask), 5e-6, "rewards");
      const { advantages, returns } = gae({
        rewards,
        values: oldValues,
        offsets,
        gamma: want.gamma,
        lambda: want.lambda,
      });
      expectClose(await advantages.data(), flat(want.advantages, mask), 1e-5, "advantages");
      expectClose(await returns.data(), flat(want.returns, mask), 1e-5, "returns");
      using white = whiten(advantages);
      expectClose(await white.data(), flat(want.advantages_whitened, mask), 1e-5, "whitened");
      using logProbs = packed(inputs.logp_new, mask);
      using now = packed(inputs.values_new, mask);
      const { value, grads } = valueAndGrad({ logProbs, now }, () =>
        weightedSum([
          {
            value: ppoPolicyLoss({ logProbs, oldLogProbs: policy, advantages: white, clip: inputs.clip }),
            weight: 1,
          },
          { value: ppoValueLoss({ values: now, oldValues, returns, clip: inputs.value_clip }), weight: 0.1 },
        ]),
      );
      expectLoss(await value.item(), want.loss, "loss");
      expectClose(await grads.logProbs.data(), flat(want.grad_logp_new, mask), 1e-6, "policy gradient");
      expectClose(await grads.now.data(), flat(want.grad_values_new, mask), 1e-6, "value gradient");
      disposeAll(advantages, returns, value, grads);
    },
  );

  test("a value after the last step", async () => {
    const { rewards, values: before, value_after_last, cases } = float64.gae_bootstrap;
    const all = rewards.map((row) => row.map(() => 1));
    using r = packed(rewards, all);
    using v = packed(before, all);
    using lastValues = list(...value_after_last);
    for (const { gamma, lambda, advantages, returns } of cases) {
      const got = gae({ rewards: r, values: v, lastValues, offsets: offsetsOf(all), gamma, lambda });
      expectClose(await got.advantages.data(), advantages.flat(), 1e-5, "advantages");
      expectClose(await got.returns.data(), returns.flat(), 1e-5, "returns");
      disposeAll(got);
    }
  });

  test("group advantages", async () => {
    const { grpo } = float64;
    using rewards = list(...grpo.rewards.flat());
    const groupSize = 4;
    for (const scale of ["group", "batch", "none"] as const) {
      const want = grpo[`advantages_scale_${scale}`].flat();
      expectClose(await values(groupAdvantages({ rewards, groupSize, scale })), want, 1e-5, scale);
    }
    expectClose(
      await values(rlooAdvantages({ rewards, groupSize })),
      grpo.rloo_advantages.flat(),
      1e-5,
      "RLOO",
    );
  });

  test.each([
    ["grpo", "grpo"],
    ["dapo", "bnpo_token_mean"],
    ["dr_grpo", "dr_grpo"],
  ] as const)("GRPO loss %s", async (lossType, key) => {
    const { loss_inputs: of, losses } = float64.grpo;
    using logProbs = packed(of.logp_new, of.mask);
    using oldLogProbs = packed(of.logp_old, of.mask);
    using refLogProbs = packed(of.logp_ref, of.mask);
    using advantages = list(...of.advantages);
    const loss = (beta: number) =>
      grpoLoss({
        logProbs,
        oldLogProbs,
        refLogProbs,
        advantages,
        offsets: offsetsOf(of.mask),
        lossType: lossType as GrpoLossType,
        epsilonLow: of.epsilon_low,
        epsilonHigh: of.epsilon_high,
        beta,
        maxLength: of.max_completion_length,
      });
    expectLoss((await values(loss(0)))[0]!, losses.no_kl[key]!, key);
    expectLoss((await values(loss(of.beta)))[0]!, losses.with_kl[key]!, `${key} with KL`);
  });

  test("GSPO's ratio of a completion", async () => {
    const { loss_inputs: of, losses } = float64.grpo;
    using logProbs = packed(of.logp_new, of.mask);
    using oldLogProbs = packed(of.logp_old, of.mask);
    using advantages = list(...of.advantages);
    const loss = grpoLoss({
      logProbs,
      oldLogProbs,
      advantages,
      offsets: offsetsOf(of.mask),
      lossType: "gspo",
      epsilonLow: of.epsilon_low,
      epsilonHigh: of.epsilon_high,
    });
    expectLoss((await values(loss))[0]!, losses.gspo_sequence_ratio, "gspo");
  });
});

describe("numbers of a padded implementation, 3 rows of 12", () => {
  interface Padded {
    gamma: number;
    lam: number;
    shape: [number, number];
    rewards: number[];
    values: number[];
    mask: number[];
    advantages: number[];
    returns: number[];
    whitened: number[];
    ppo_policy: {
      old_logp: number[];
      new_logp: number[];
      clip: number;
      loss: number;
      grad_new_logp: number[];
    };
    ppo_value: { vpred: number[]; old_v: number[]; clip: number; loss: number; grad: number[] };
    kl: Record<"logp" | "ref" | "k1" | "k2" | "k3", number[]>;
    grpo_adv: { rewards: Rows; adv_unbiased_std: Rows };
  }
  const fixture = readJson<Padded>(golden, "rl_math.json");
  const width = fixture.shape[1];
  const rows = (values: number[]): Rows =>
    Array.from({ length: fixture.shape[0] }, (_, i) => values.slice(i * width, (i + 1) * width));
  const mask = rows(fixture.mask);
  const kept = (all: number[]): number[] => flat(rows(all), mask);
  const tensor = (all: number[]): Tensor => list(...kept(all));

  test("GAE and whitening with the population's variance", async () => {
    using rewards = tensor(fixture.rewards);
    using before = tensor(fixture.values);
    const { gamma, lam: lambda } = fixture;
    const { advantages, returns } = gae({ rewards, values: before, offsets: offsetsOf(mask), gamma, lambda });
    expectClose(await advantages.data(), kept(fixture.advantages), 2e-6, "advantages");
    expectClose(await returns.data(), kept(fixture.returns), 2e-6, "returns");
    const white = whiten(advantages, { variance: "population" });
    expectClose(await values(white), kept(fixture.whitened), 5e-6, "whitened");
    disposeAll(advantages, returns);
  });

  test("policy and value loss with gradients", async () => {
    const { ppo_policy: policy, ppo_value: value } = fixture;
    using logProbs = tensor(policy.new_logp);
    using oldLogProbs = tensor(policy.old_logp);
    using advantages = tensor(fixture.whitened);
    const one = valueAndGrad({ logProbs }, () =>
      ppoPolicyLoss({ logProbs, oldLogProbs, advantages, clip: policy.clip }),
    );
    expectLoss(await one.value.item(), policy.loss, "policy");
    expectClose(await one.grads.logProbs.data(), kept(policy.grad_new_logp), 1e-6, "policy gradient");
    using now = tensor(value.vpred);
    using oldValues = tensor(value.old_v);
    using returns = tensor(fixture.returns);
    const two = valueAndGrad({ now }, () =>
      ppoValueLoss({ values: now, oldValues, returns, clip: value.clip }),
    );
    expectLoss(await two.value.item(), value.loss, "value");
    expectClose(await two.grads.now.data(), kept(value.grad), 1e-6, "value gradient");
    disposeAll(one, two);
  });

  test("KL estimates and group advantages", async () => {
    const { kl, grpo_adv } = fixture;
    using policy = list(...kl.logp);
    using reference = list(...kl.ref);
    for (const estimator of ["k1", "k2", "k3"] as const)
      expectClose(await values(klEstimate({ policy, reference, estimator })), kl[estimator], 5e-6, estimator);
    using rewards = list(...grpo_adv.rewards.flat());
    const got = await values(groupAdvantages({ rewards, groupSize: 4 }));
    expectClose(got, grpo_adv.adv_unbiased_std.flat(), 2e-5, "advantages");
  });
});

describe("hand values", () => {
  test("GAE (G1, G2)", async () => {
    using rewards = list(0, 0, 1);
    using before = list(0.5, 0.6, 0.7);
    const of = async (gamma: number, lambda: number) => {
      const { advantages, returns } = gae({
        rewards,
        values: before,
        offsets: Int32Array.of(0, 3),
        gamma,
        lambda,
      });
      returns.dispose();
      return values(advantages);
    };
    expectClose(await of(1, 1), [0.5, 0.4, 0.3], 1e-6, "λ 1");
    expectClose(await of(1, 0.95), [0.46575, 0.385, 0.3], 1e-6, "λ 0.95");
    expectClose(await of(0.99, 0.95), [0.446829, 0.37515, 0.3], 1e-6, "γ 0.99");
    expectClose(await of(1, 0), [0.1, 0.1, 0.3], 1e-6, "λ 0: one-step errors");
    using a = list(0.46575, 0.385, 0.3);
    expectClose(await values(whiten(a)), [0.991344, 0.017092, -1.008436], 1e-5, "whitened");
  });

  test("KL estimates (G3)", async () => {
    using policy = list(-1, -2);
    using reference = list(-1.5, -1);
    const want = { k1: [0.5, -1], k2: [0.125, 0.5], k3: [0.106531, 0.718282] };
    for (const estimator of ["k1", "k2", "k3"] as const)
      expectClose(
        await values(klEstimate({ policy, reference, estimator })),
        want[estimator],
        1e-6,
        estimator,
      );
  });

  test("clipping (G4), and a first pass without any", async () => {
    for (const [ratio, advantage, want] of [
      [1.5, 1, -1.2],
      [0.5, 1, -0.5],
      [1.5, -1, 1.5],
      [0.5, -1, 0.8],
    ] as const) {
      using logProbs = list(Math.log(ratio));
      using oldLogProbs = list(0);
      using advantages = list(advantage);
      expect((await values(ppoPolicyLoss({ logProbs, oldLogProbs, advantages })))[0]).toBeCloseTo(want, 6);
    }
    using logProbs = list(-1, -2, -0.5);
    using advantages = list(1, -2, 4);
    const { value, grads } = valueAndGrad({ logProbs }, () =>
      ppoPolicyLoss({ logProbs, oldLogProbs: list(-1, -2, -0.5), advantages }),
    );
    expect(await value.item()).toBeCloseTo(-1, 6);
    expectClose(await grads.logProbs.data(), [-1 / 3, 2 / 3, -4 / 3], 1e-6, "gradient −A/N");
    disposeAll(value, grads);
  });

  test("groups (G5): equal rewards give 0, and no NaN", async () => {
    using rewards = list(1, 0, 0, 1, 2, 2, 2, 2);
    const of = (options: object) => values(groupAdvantages({ rewards, groupSize: 4, ...options }));
    const a = 0.865875;
    expectClose(await of({}), [a, -a, -a, a, 0, 0, 0, 0], 1e-5, "sample");
    const b = 0.9998;
    expectClose(await of({ variance: "population" }), [b, -b, -b, b, 0, 0, 0, 0], 1e-5, "population");
    const c = 0.666667;
    expectClose(
      await values(rlooAdvantages({ rewards, groupSize: 4 })),
      [c, -c, -c, c, 0, 0, 0, 0],
      1e-5,
      "RLOO",
    );
    expect(() => groupAdvantages({ rewards, groupSize: 3 })).toThrow(/8 rewards in groups of 3/);
    expect(() => rlooAdvantages({ rewards, groupSize: 1 })).toThrow(/at least 2/);
  });
});

test("completions without tokens: no reward, no NaN", async () => {
  using policy = list(-1, -2);
  using reference = list(-1, -1);
  using scores = list(5, 7, 9);
  const offsets = Int32Array.of(0, 1, 1, 2);
  const rewards = await values(klRewards({ policy, reference, scores, offsets, klCoef: 0.1 }));
  expectClose(rewards, [5, 9.1], 1e-6, "rewards");
  using advantages = list(1, 1, 1);
  for (const lossType of ["grpo", "dapo", "gspo"] as const) {
    const loss = grpoLoss({ logProbs: policy, oldLogProbs: policy, advantages, offsets, lossType });
    expect((await values(loss))[0]).toBeCloseTo(lossType === "dapo" ? -1 : -2 / 3, 6);
  }
});

test("refusals by name", () => {
  using x = list(0);
  const inputs = { logProbs: x, oldLogProbs: x, advantages: x, offsets: Int32Array.of(0, 1) };
  expect(() => grpoLoss({ ...inputs, beta: 0.1 })).toThrow(/refLogProbs were needed/);
  expect(() => grpoLoss({ ...inputs, lossType: "dr_grpo" })).toThrow(/maxLength was needed/);
  expect(() => grpoLoss({ ...inputs, lossType: "x" as GrpoLossType })).toThrow(/lossType is "x"/);
  expect(() => klEstimate({ policy: x, reference: x, estimator: "k9" as "k1" })).toThrow(/k1, k2 or k3/);
});
