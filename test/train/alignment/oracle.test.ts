import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAdapter } from "../../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../../lib/core/device.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import { loadModel } from "../../../lib/models/load.ts";
import type { Model } from "../../../lib/models/model.ts";
import { attachRewardHead } from "../../../lib/models/score_head.ts";
import { adamw } from "../../../lib/optim/adamw.ts";
import type { Labelled, Pair } from "../../../lib/text/alignment_rows.ts";
import { trainDpo } from "../../../lib/train/dpo.ts";
import { trainKto } from "../../../lib/train/kto.ts";
import type { StepMetrics } from "../../../lib/train/metrics.ts";
import { trainReward } from "../../../lib/train/reward.ts";
import { oracleFolders } from "../../support/golden.ts";
import { expectLoss, readJson } from "../../support/oracle.ts";
import { testDevice } from "../../support/test_device.ts";

interface Run {
  loss: number;
  grad_total_norm: number;
  kl?: number;
  policy_logps?: number[];
  ref_logps?: number[];
}
interface Policy {
  logps: Record<string, number[]>;
  losses: Record<string, Run>;
  rewards_dpo: { chosen: number[]; rejected: number[]; accuracy: number };
  reward_model: Record<"rewards_chosen" | "rewards_rejected" | "margin", number[]> &
    Record<"bradley_terry" | "with_margin" | "with_center", Run> & { center_coefficient: number };
}
interface Align {
  data: { pairs: Pair[]; kto: Record<string, Labelled[]> };
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
const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** The first step of each trainer, in one batch and in two parts of a batch, against what float64 gives. */
describe.each(cases)("trainers on %s, policy %s", (_, name, folder, want) => {
  const align = readJson<Align>(folder, "align.json");
  const { beta, label_smoothing: labelSmoothing } = align;
  const { pairs, kto } = align.data;
  let dev: Device;
  beforeAll(async () => {
    dev = await device(testDevice, { threads: 2 });
  });
  afterAll(() => {
    expect(dev.stats().live).toBe(0);
    dev.close();
  });

  const whole = { batchSize: 4, shuffle: false, steps: 1 };
  const parts = { batchSize: 2, accumulationSteps: 2, shuffle: false, steps: 1 };

  async function first(
    trainer: (model: Model, params: Record<string, Tensor>) => AsyncIterable<StepMetrics>,
  ): Promise<StepMetrics> {
    using model = await loadModel(path.join(folder, "model"), { device: dev });
    using adapter = await loadAdapter(model, path.join(folder, "adapters", name));
    for await (const m of trainer(model, adapter.params)) return m;
    throw new Error("no step");
  }

  function expectRun(m: StepMetrics, run: Run): void {
    expectLoss(m.loss, run.loss, "loss");
    expect(Math.abs(m.gradNorm / run.grad_total_norm - 1), "gradient norm").toBeLessThan(1e-4);
  }
  const near = (m: StepMetrics, key: string, value: number): void =>
    expect(
      Math.abs(m[key as "rewards/chosen"]! - value),
      `${key}: ${m[key as "rewards/chosen"]}`,
    ).toBeLessThan(3e-4);

  const simpo = { beta: align.simpo_beta, gamma: align.simpo_gamma };
  test.each([
    ["dpo_sigmoid", "sigmoid", { beta }],
    ["dpo_hinge", "hinge", { beta }],
    ["ipo_mean", "ipo", { beta }],
    ["cdpo_eps0.1", "cdpo", { beta, labelSmoothing }],
    ["robust_dpo_eps0.1", "robust", { beta, labelSmoothing }],
    ["simpo", "simpo", simpo],
    ["orpo", "orpo", { beta }],
  ] as const)("%s", async (key, loss, settings) => {
    const data = { pairs, truncated: [], dropped: [] };
    // ORPO's likelihood is a mean over the tokens of a part: parts of other lengths give another one.
    for (const cut of loss === "orpo" ? [whole] : [whole, parts]) {
      const optimizer = adamw({ lr: 1e-3 });
      const m = await first((model, params) =>
        trainDpo({ model, params, data, optimizer, loss, ...settings, ...cut }),
      );
      expectRun(m, want.losses[key]!);
      near(m, "logps/chosen", meanOf(want.logps.policy_chosen!));
      near(m, "logps/rejected", meanOf(want.logps.policy_rejected!));
      const scale = "gamma" in settings || loss === "orpo" ? settings.beta : undefined;
      const { rewards_dpo: dpo, logps } = want;
      const chosen = scale ? meanOf(logps.policy_chosen_mean!) * scale : meanOf(dpo.chosen);
      const rejected = scale ? meanOf(logps.policy_rejected_mean!) * scale : meanOf(dpo.rejected);
      near(m, "rewards/chosen", chosen);
      near(m, "rewards/rejected", rejected);
      near(m, "rewards/margins", chosen - rejected);
      if (!scale) near(m, "rewards/accuracies", dpo.accuracy);
    }
  });

  test.each(["positive_kl", "negative_kl"])("KTO, %s", async (key) => {
    const rows = kto[key]!;
    const data = { labelled: rows, truncated: [], dropped: [] };
    const { kl, policy_logps, ref_logps } = want.losses[`kto_${key}`]!;
    for (const [suffix, undesirableWeight] of [
      ["", 1],
      ["_undesirable1.5", 1.5],
    ] as const) {
      const optimizer = adamw({ lr: 1e-3 });
      const m = await first((model, params) =>
        trainKto({ model, params, data, optimizer, beta, undesirableWeight, ...whole }),
      );
      expectRun(m, want.losses[`kto_${key}${suffix}`]!);
      near(m, "kl/z", kl!);
      for (const [kind, label] of [
        ["chosen", true],
        ["rejected", false],
      ] as const) {
        const mine = rows.flatMap((row, i) => (row.label === label ? [i] : []));
        near(m, `logps/${kind}`, meanOf(mine.map((i) => policy_logps![i]!)));
        near(m, `rewards/${kind}`, meanOf(mine.map((i) => beta * (policy_logps![i]! - ref_logps![i]!))));
      }
    }
  });

  test("reward model", async () => {
    const { rewards_chosen, rewards_rejected, margin, center_coefficient, ...of } = want.reward_model;
    const margined = pairs.map((pair, i) => ({ ...pair, margin: margin[i]! }));
    for (const [run, list, centering] of [
      [of.bradley_terry, pairs, 0],
      [of.with_margin, margined, 0],
      [of.with_center, pairs, center_coefficient],
    ] as const) {
      for (const cut of [whole, parts]) {
        const data = { pairs: list, truncated: [], dropped: [] };
        const m = await first(async function* (model, params) {
          using head = attachRewardHead(model, { weights: path.join(folder, "reward_head.safetensors") });
          const optimizer = adamw({ lr: 1e-3 });
          const all = { ...params, ...head.params };
          yield* trainReward({ model, head, params: all, data, optimizer, centering, ...cut });
        });
        expectRun(m, run);
        near(m, "rewards/chosen", meanOf(rewards_chosen));
        near(m, "rewards/rejected", meanOf(rewards_rejected));
        near(m, "rewards/margins", meanOf(rewards_chosen) - meanOf(rewards_rejected));
        const right = rewards_chosen.map((reward, i) => (reward > rewards_rejected[i]! ? 1 : 0));
        near(m, "rewards/accuracies", meanOf(right));
      }
    }
  });
});
