import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Adapter } from "../../../lib/adapters/adapter.ts";
import { loadAdapter } from "../../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../../lib/core/device.ts";
import { disposeAll, valueAndGrad } from "../../../lib/core/tape.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import { loadModel } from "../../../lib/models/load.ts";
import type { Model } from "../../../lib/models/model.ts";
import { attachRewardHead } from "../../../lib/models/score_head.ts";
import { scale, weightedSum } from "../../../lib/ops/add.ts";
import { sum } from "../../../lib/ops/segment_sum.ts";
import { packCompletions } from "../../../lib/text/alignment_batches.ts";
import { packBatch } from "../../../lib/text/token_batch.ts";
import { logProbs, targetLogProbs } from "../../../lib/train/loss.ts";
import { targetCounts } from "../../../lib/train/pair_tokens.ts";
import * as losses from "../../../lib/train/preference/index.ts";
import { oracleFolders } from "../../support/golden.ts";
import {
  expectClose,
  expectLoss,
  expectSummaries,
  expectTotalNorm,
  readJson,
  type Summary,
} from "../../support/oracle.ts";
import { testDevice } from "../../support/test_device.ts";

interface Run {
  loss: number;
  grad_total_norm: number;
  grads: Record<string, Summary>;
  grad_score?: Summary;
  kl?: number;
  kl_raw?: number;
  policy_logps?: number[];
  ref_logps?: number[];
}
interface KtoRow {
  prompt: number[];
  completion: number[];
  label: boolean;
}
interface Policy {
  logps: Record<string, number[]>;
  losses: Record<string, Run>;
  rewards_dpo: { chosen: number[]; rejected: number[]; accuracy: number };
  reward_model: {
    rewards_chosen: number[];
    rewards_rejected: number[];
    margin: number[];
    center_coefficient: number;
    bradley_terry: Run;
    with_margin: Run;
    with_center: Run;
  };
}
interface Align {
  data: {
    pairs: { prompt: number[]; chosen: number[]; rejected: number[] }[];
    kto: Record<string, KtoRow[]>;
  };
  beta: number;
  simpo_beta: number;
  simpo_gamma: number;
  label_smoothing: number;
  policies: Record<string, Policy>;
}

const cases = oracleFolders().flatMap((folder) =>
  Object.entries(readJson<Align>(folder, "align.json").policies).map(
    ([name, policy]) => [path.basename(folder), name, folder, policy] as const,
  ),
);

describe.each(cases)("%s, policy %s", (_, name, folder, want) => {
  const align = readJson<Align>(folder, "align.json");
  const { beta, label_smoothing: labelSmoothing } = align;
  const { pairs } = align.data;
  const documents = (key: "chosen" | "rejected") =>
    pairs.map(({ prompt, [key]: completion }) => ({ prompt, completion }));
  const batch = packCompletions([...documents("chosen"), ...documents("rejected")]);
  const P = pairs.length;
  const counts = { chosenTokens: want.logps.n_chosen!, rejectedTokens: want.logps.n_rejected! };
  let dev: Device;
  let model: Model;
  let adapter: Adapter;
  let reference: { refChosen: Tensor; refRejected: Tensor };

  beforeAll(async () => {
    dev = await device(testDevice, { threads: 2 });
    model = await loadModel(path.join(folder, "model"), { device: dev });
    adapter = await loadAdapter(model, path.join(folder, "adapters", name));
    const list = (values: number[]) => dev.tensor(Float32Array.from(values), [values.length]);
    reference = {
      refChosen: list(want.logps.ref_chosen!),
      refRejected: list(want.logps.ref_rejected!),
    };
  });
  afterAll(() => {
    disposeAll(reference);
    adapter.dispose();
    model.dispose();
    expect(dev.stats().live).toBe(0);
    dev.close();
  });

  async function expectRun(run: Run, loss: () => Tensor, what: string, tolerance = 1e-5): Promise<void> {
    const { value, grads } = valueAndGrad(adapter.params, loss);
    expectLoss(await value.item(), run.loss, what, tolerance);
    await expectSummaries(grads, run.grads);
    await expectTotalNorm(grads, run.grad_total_norm);
    disposeAll(value, grads);
  }

  test("log-probabilities of policy and reference", async () => {
    const policy = logProbs(model, batch);
    adapter.off();
    const base = logProbs(model, batch);
    adapter.on();
    const { logps } = want;
    const [ours, theirs] = [await policy.data(), await base.data()];
    expectClose(ours, [...logps.policy_chosen!, ...logps.policy_rejected!], 3e-4, "policy");
    expectClose(theirs, [...logps.ref_chosen!, ...logps.ref_rejected!], 3e-4, "reference");
    const tokens = targetCounts(batch);
    expect([...tokens]).toEqual([...logps.n_chosen!, ...logps.n_rejected!]);
    const perToken = (sums: typeof ours) => sums.map((sum, i) => sum / tokens[i]!);
    const means = [...logps.policy_chosen_mean!, ...logps.policy_rejected_mean!];
    expectClose(perToken(ours), means, 3e-5, "policy, a token");
    const refMeans = [...logps.ref_chosen_mean!, ...logps.ref_rejected_mean!];
    expectClose(perToken(theirs), refMeans, 3e-5, "reference, a token");
    const rewards = ours.map((sum, i) => beta * (sum - theirs[i]!));
    expectClose(rewards, [...want.rewards_dpo.chosen, ...want.rewards_dpo.rejected], 5e-5, "rewards");
    const higher = pairs.filter((_, i) => rewards[i]! > rewards[P + i]!).length;
    expect(higher / P).toBe(want.rewards_dpo.accuracy);
    disposeAll(policy, base);
  });

  const measures = () => {
    const sums = logProbs(model, batch);
    return { chosen: sums.view([P]), rejected: sums.view([P], P), ...reference };
  };

  test.each([
    ["dpo_sigmoid", () => losses.dpo({ ...measures(), beta })],
    ["dpo_hinge", () => losses.hinge({ ...measures(), beta })],
    ["ipo_mean", () => losses.ipo({ ...measures(), ...counts, beta })],
    ["cdpo_eps0.1", () => losses.dpo({ ...measures(), beta, labelSmoothing })],
    ["robust_dpo_eps0.1", () => losses.robust({ ...measures(), beta, labelSmoothing })],
    [
      "simpo",
      () => losses.simpo({ ...measures(), ...counts, beta: align.simpo_beta, gamma: align.simpo_gamma }),
    ],
  ])("%s", async (key, loss) => expectRun(want.losses[key]!, loss, key));

  test("ipo_sum", () =>
    expectRun(want.losses.ipo_sum!, () => losses.ipo({ ...measures(), beta }), "ipo_sum", 1e-4));

  test("orpo, its likelihood over all tokens or the completion's", async () => {
    const whole = packBatch([
      ...pairs.map(({ prompt, chosen }) => [...prompt, ...chosen]),
      ...pairs.map(({ prompt, rejected }) => [...prompt, ...rejected]),
    ]);
    const end = batch.offsets[P]!;
    for (const [key, over] of [
      ["orpo", whole],
      ["orpo_nll_completion_only", batch],
    ] as const) {
      const n = over.targets.subarray(0, end).filter((target) => target >= 0).length; // the chosen ones come first
      const loss = () => {
        const { logProbs: tokens } = targetLogProbs(model, over);
        return losses.orpo({ ...measures(), ...counts, beta, nll: scale(sum(tokens.view([n])), -1 / n) });
      };
      await expectRun(want.losses[key]!, loss, key);
    }
  });

  test.each(["positive_kl", "negative_kl"])("KTO, %s", async (key) => {
    const rows = align.data.kto[key]!;
    const labels = rows.map(({ label }) => label);
    const own = packCompletions(rows);
    const mismatched = packCompletions(
      rows.map(({ prompt }, i) => ({ prompt, completion: rows.at(i - 1)!.completion })),
    );
    adapter.off();
    const ref = { own: logProbs(model, own), mismatched: logProbs(model, mismatched) };
    adapter.on();
    const { kl: z, kl_raw, policy_logps, ref_logps } = want.losses[`kto_${key}`]!;
    using ours = logProbs(model, own);
    expectClose(await ours.data(), policy_logps!, 3e-4, "policy");
    expectClose(await ref.own.data(), ref_logps!, 3e-4, "reference");
    for (const [suffix, undesirableWeight] of [
      ["", 1],
      ["_undesirable1.5", 1.5],
    ] as const) {
      const run = want.losses[`kto_${key}${suffix}`]!;
      const policy = logProbs(model, mismatched);
      const kl = losses.ktoKl({ policy, reference: ref.mismatched });
      const [now, before] = await Promise.all([policy.data(), ref.mismatched.data()]);
      const raw = [...now].reduce((sum, x, i) => sum + x - before[i]!, 0) / rows.length;
      expect(Math.abs(raw - kl_raw!), "z before it is held at 0").toBeLessThan(3e-4);
      expect(Math.abs((await kl.item()) - z!), "z").toBeLessThan(3e-4);
      const loss = () =>
        losses.kto({ policy: logProbs(model, own), reference: ref.own, labels, kl, beta, undesirableWeight });
      await expectRun(run, loss, key);
      disposeAll(policy, kl);
    }
    disposeAll(ref);
  });

  test("reward model", async () => {
    using head = attachRewardHead(model, { weights: path.join(folder, "reward_head.safetensors") });
    const expected = want.reward_model;
    const rewards = head.rewards(batch);
    expectClose(
      await rewards.data(),
      [...expected.rewards_chosen, ...expected.rewards_rejected],
      3e-4,
      "rewards",
    );
    rewards.dispose();
    const params = { ...adapter.params, ...head.params };
    for (const [run, settings] of [
      [expected.bradley_terry, {}],
      [expected.with_margin, { margin: expected.margin }],
      [expected.with_center, { centering: expected.center_coefficient }],
    ] as const) {
      const { value, grads } = valueAndGrad(params, () => {
        const all = head.rewards(batch);
        return losses.bradleyTerry({ chosen: all.view([P]), rejected: all.view([P], P), ...settings });
      });
      expectLoss(await value.item(), run.loss, "Bradley–Terry");
      await expectSummaries(grads, { ...run.grads, "score.weight": run.grad_score! });
      await expectTotalNorm(grads, run.grad_total_norm);
      disposeAll(value, grads);
    }
  });

  test("packed pairs are as pairs apart", async () => {
    const { value, grads } = valueAndGrad(adapter.params, () => losses.dpo({ ...measures(), beta }));
    const apart = valueAndGrad(adapter.params, () =>
      weightedSum(
        pairs.map(({ prompt, chosen, rejected }, i) => {
          const one = (completion: number[]) => logProbs(model, packCompletions([{ prompt, completion }]));
          const ref = {
            refChosen: reference.refChosen.view([1], i),
            refRejected: reference.refRejected.view([1], i),
          };
          const loss = losses.dpo({ chosen: one(chosen), rejected: one(rejected), ...ref, beta });
          return { value: loss, weight: 1 / P };
        }),
      ),
    );
    expectLoss(await value.item(), await apart.value.item(), "loss");
    for (const key of Object.keys(grads)) {
      const [a, b] = await Promise.all([grads[key]!.data(), apart.grads[key]!.data()]);
      const largest = Math.max(...a.map(Math.abs));
      expectClose(b, a, 1e-4 * Math.max(largest, 1e-3), key);
    }
    disposeAll(value, grads, apart);
  });
});
