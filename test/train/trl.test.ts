import { describe, expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { loadModel } from "../../lib/models/load.ts";
import { attachRewardHead } from "../../lib/models/score_head.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { type PairBatch, packPairs } from "../../lib/text/alignment_batches.ts";
import { readPairs } from "../../lib/text/alignment_rows.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { trainDpo } from "../../lib/train/dpo.ts";
import { trainKto } from "../../lib/train/kto.ts";
import { temperedLogProbs } from "../../lib/train/loss.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { withPromptTargets } from "../../lib/train/pair_tokens.ts";
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
    columns: Record<string, string | ((m: StepMetrics) => number)>,
  ): Promise<void> {
    const want = fixture!.runs[run]!.filter((line) => "loss" in line);
    using dev = await device(testDevice, { threads: 2 });
    const model = await loadModel(folder!, { device: dev });
    const reference = await loadModel(folder!, { device: dev });
    const tokenizer = await loadTokenizer(folder!);
    const all: typeof columns = { loss: "loss", grad_norm: "gradNorm", ...columns };
    let k = 0;
    for await (const m of trainer({ model, reference, tokenizer })) {
      const line = want[k++]!;
      for (const [theirs, ours] of Object.entries(all)) {
        const got = typeof ours === "string" ? (m as unknown as Logged)[ours]! : ours(m);
        const tolerance = 2e-3 * Math.max(Math.abs(line[theirs]!), 0.02);
        expect(Math.abs(got - line[theirs]!), `${theirs} of step ${k}: ${got}, ${line[theirs]}`).toBeLessThan(
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
  const accuracies = { "rewards/accuracies": "rewards/accuracies" };

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
      { ...rewards, ...logps, ...accuracies },
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
      // ORPO's are averages over tokens, as rewards are.
      { ...rewards, ...accuracies, ...(run === "cpo" && logps) },
    ),
  );

  test("simpo", () =>
    compare(
      "simpo",
      ({ model, tokenizer }) =>
        trainDpo({ ...common, model, tokenizer, data: fixture!.pairs, loss: "simpo", beta: 2, batchSize: 8 }),
      { ...rewards, ...accuracies },
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
      {
        accuracy: "rewards/accuracies",
        margin: "rewards/margins",
        mean_reward: (m) => (m["rewards/chosen"]! + m["rewards/rejected"]!) / 2,
      },
    ));

  test("what it logs of the first step besides: likelihoods, log-odds, entropy, accuracy", async () => {
    using dev = await device(testDevice, { threads: 2 });
    using model = await loadModel(folder!, { device: dev });
    const tokenizer = await loadTokenizer(folder!);
    const { pairs } = await readPairs(fixture!.pairs, { tokenizer, maxLength: 512 });
    const P = pairs.length;
    const [batch] = packPairs(pairs, P);
    const of = async (input: PairBatch) => {
      const { logProbs, entropy, starts } = scope(() => {
        const { logProbs, entropy, starts } = temperedLogProbs(model, input);
        return { logProbs, entropy, starts };
      });
      const [tokens, entropies, from] = await Promise.all([logProbs.data(), entropy.data(), starts.data()]);
      disposeAll(logProbs, entropy, starts);
      return { tokens: [...tokens], entropies: [...entropies], from: [...from] };
    };
    const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
    const { tokens, entropies, from } = await of(batch!);
    const averages = Array.from({ length: 2 * P }, (_, d) => mean(tokens.slice(from[d], from[d + 1])));
    const near = (got: number, want: number, what: string) =>
      expect(Math.abs(got - want), what).toBeLessThan(1e-4 * Math.max(1, Math.abs(want)));
    const [orpo, cpo, simpo, dpo] = ["orpo", "cpo", "simpo", "dpo_sigmoid"].map(
      (run) => fixture!.runs[run]![0]!,
    );
    for (const line of [orpo!, simpo!]) {
      near(mean(averages.slice(0, P)), line["logps/chosen"]!, "chosen, a token");
      near(mean(averages.slice(P)), line["logps/rejected"]!, "rejected, a token");
    }
    const logOdds = (x: number) => x - Math.log1p(-Math.exp(x));
    const odds = pairs.map((_, i) => logOdds(averages[i]!) - logOdds(averages[P + i]!));
    near(mean(odds), orpo!.log_odds_chosen!, "log-odds");
    near(mean(odds.map((x) => -Math.log1p(Math.exp(-x)))), orpo!.log_odds_ratio!, "their logistic");
    near(-mean(tokens.slice(0, from[P])), cpo!.nll_loss!, "likelihood of the completions");
    const whole = await of(withPromptTargets(batch!));
    near(-mean(whole.tokens.slice(0, whole.from[P])), orpo!.nll_loss!, "likelihood of all tokens");
    near(mean(entropies), dpo!.entropy!, "entropy");
    using logits = model.logits(batch!);
    const [values, V] = [await logits.data(), logits.shape[1]!];
    const right = [...batch!.targets].flatMap((target, t) => {
      if (target < 0 || t >= batch!.offsets[P]!) return [];
      const row = values.subarray(t * V, (t + 1) * V) as Float32Array;
      return [row.every((x) => x <= row[target]!) ? 1 : 0];
    });
    near(mean(right), dpo!.mean_token_accuracy!, "share of chosen tokens that are the likeliest");
    near(
      mean(entropies.slice(0, from[P])),
      fixture!.runs.sft_prompt_completion![0]!.entropy!,
      "SFT's entropy",
    );
  });
});
