import { describe, expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { loadModel } from "../../lib/models/load.ts";
import { attachRewardHead } from "../../lib/models/score_head.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { trainDpo } from "../../lib/train/dpo.ts";
import { trainKto } from "../../lib/train/kto.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { trainReward } from "../../lib/train/reward.ts";
import { readJson } from "../support/oracle.ts";
import { sharedPath } from "../support/shared_data.ts";
import { testDevice } from "../support/test_device.ts";

type Logged = Record<string, number>;
interface Fixture {
  pairs: { prompt: string; chosen: string; rejected: string }[];
  kto_data: { prompt: string; completion: string; label: boolean }[];
  runs: Record<string, Logged[]>;
  reward_score_head: number[][];
}

const file = sharedPath("data/fixtures/trl_stories260K.json");
const folder = sharedPath("data/models/stories260K");

/** Runs of trl 1.13 on a real small model: AdamW 1e-4, all examples a batch, four steps. */
describe.skipIf(file === undefined || folder === undefined)("as TRL trains", () => {
  const fixture = file === undefined ? undefined : readJson<Fixture>(file);
  const common = { optimizer: adamw({ lr: 1e-4, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 }), steps: 4 };

  async function compare(
    run: string,
    trainer: (of: {
      model: Awaited<ReturnType<typeof loadModel>>;
      reference: Awaited<ReturnType<typeof loadModel>>;
      tokenizer: Awaited<ReturnType<typeof loadTokenizer>>;
    }) => AsyncIterable<StepMetrics>,
    columns: Record<string, string>,
  ): Promise<void> {
    const want = fixture!.runs[run]!.filter((line) => "loss" in line);
    using dev = await device(testDevice, { threads: 2 });
    const model = await loadModel(folder!, { device: dev });
    const reference = await loadModel(folder!, { device: dev });
    const tokenizer = await loadTokenizer(folder!);
    let k = 0;
    for await (const m of trainer({ model, reference, tokenizer })) {
      const line = want[k++]!;
      for (const [theirs, ours] of Object.entries({ loss: "loss", grad_norm: "gradNorm", ...columns })) {
        const got = (m as unknown as Logged)[ours]!;
        const tolerance = 2e-3 * Math.max(Math.abs(line[theirs]!), 0.02);
        expect(Math.abs(got - line[theirs]!), `${ours} of step ${k}: ${got}, ${line[theirs]}`).toBeLessThan(
          tolerance,
        );
      }
    }
    expect(k).toBe(4);
    model.dispose();
    reference.dispose();
    expect(dev.stats().live).toBe(0);
  }

  const rewards = {
    "rewards/chosen": "rewards/chosen",
    "rewards/rejected": "rewards/rejected",
    "rewards/margins": "rewards/margins",
  };
  const logps = { "logps/chosen": "logps/chosen", "logps/rejected": "logps/rejected" };

  test.each([
    ["dpo_sigmoid", {}],
    ["dpo_hinge", {}],
    ["dpo_ipo", {}],
    ["dpo_robust", { labelSmoothing: 0.1 }],
    ["dpo_exo_pair", { labelSmoothing: 1e-3 }],
    ["dpo_apo_zero", {}],
    ["dpo_apo_down", {}],
    ["dpo_nca_pair", {}],
    ["dpo_bco_pair", {}],
    ["dpo_sppo_hard", {}],
    ["dpo_aot", {}],
    ["dpo_discopop", {}],
  ])("%s", (run, settings) => {
    const data = fixture!.pairs;
    const loss = run.slice("dpo_".length);
    return compare(
      run,
      (of) => trainDpo({ ...common, ...of, data, loss, beta: 0.1, batchSize: data.length, ...settings }),
      { ...rewards, ...logps, "rewards/accuracies": "rewards/accuracies" },
    );
  });

  test("the reference as the model was at the start", () =>
    compare(
      "dpo_sigmoid",
      ({ model, tokenizer }) =>
        trainDpo({ ...common, model, tokenizer, data: fixture!.pairs, batchSize: 8, reference: "initial" }),
      rewards,
    ));

  test.each(["orpo", "cpo"])("%s", (run) =>
    compare(
      run,
      ({ model, tokenizer }) =>
        trainDpo({ ...common, model, tokenizer, data: fixture!.pairs, loss: run, beta: 0.1, batchSize: 8 }),
      rewards,
    ),
  );

  test("simpo", () =>
    compare(
      "simpo",
      ({ model, tokenizer }) =>
        trainDpo({ ...common, model, tokenizer, data: fixture!.pairs, loss: "simpo", beta: 2, batchSize: 8 }),
      rewards,
    ));

  test("kto", () =>
    compare(
      "kto",
      (of) => trainKto({ ...common, ...of, data: fixture!.kto_data, batchSize: 8, shuffle: false }),
      {
        kl: "kl/z",
        ...rewards,
        ...logps,
      },
    ));

  test("reward", () =>
    compare(
      "reward",
      ({ model, tokenizer }) => {
        const head = attachRewardHead(model);
        head.params["score.weight"]!.write(Float32Array.from(fixture!.reward_score_head.flat()));
        return (async function* () {
          yield* trainReward({ ...common, model, head, tokenizer, data: fixture!.pairs, batchSize: 8 });
          head.dispose();
        })();
      },
      { accuracy: "rewards/accuracies", margin: "rewards/margins" },
    ));
});
