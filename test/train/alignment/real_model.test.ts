import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachDora } from "../../../lib/adapters/attach.ts";
import { type Device, device } from "../../../lib/core/device.ts";
import { Random } from "../../../lib/core/random.ts";
import { generateBatch } from "../../../lib/generate/batch.ts";
import { exampleModelDir } from "../../../lib/models/example_model.ts";
import { loadModel } from "../../../lib/models/load.ts";
import { attachRewardHead } from "../../../lib/models/score_head.ts";
import { adamw } from "../../../lib/optim/adamw.ts";
import { chain } from "../../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../../lib/optim/clip.ts";
import { packPairs } from "../../../lib/text/alignment_batches.ts";
import type { Pair } from "../../../lib/text/alignment_rows.ts";
import { loadTokenizer, type Tokenizer } from "../../../lib/text/tokenizer.ts";
import { trainDpo } from "../../../lib/train/dpo.ts";
import type { StepMetrics } from "../../../lib/train/metrics.ts";
import { trainPpo } from "../../../lib/train/ppo.ts";
import { trainReward } from "../../../lib/train/reward.ts";
import type { RewardFunction } from "../../../lib/train/rl/rollout.ts";

/** Beginnings of definitions, which the shipped model goes on with. */
const beginnings = [
  "a kind of",
  "the act of",
  "a person who",
  "having",
  "a small",
  "in a",
  "of or",
  "not",
  "any of",
];
const nouns =
  "animal plant tree stone river house word sound light machine city color food game song line".split(" ");
const prompts = beginnings.flatMap((beginning) => nouns.map((noun) => `${noun}: ${beginning}`));

/** Exactly decidable: texts without the word "of" are wanted. */
const wanted = (text: string): boolean => !/\bof\b/.test(text);

let dev: Device;
let tokenizer: Tokenizer;
let training: Pair[];
let held: Pair[];
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
  tokenizer = await loadTokenizer(exampleModelDir);
  const pairs = await pairsOf(48);
  const cut = Math.floor(pairs.length * 0.8);
  training = pairs.slice(0, cut);
  held = pairs.slice(cut);
}, 60_000);
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

/** What the model itself says, in pairs of which one is wanted and one isn't; prompts at the end are not among the first. */
async function pairsOf(each: number): Promise<Pair[]> {
  using model = await loadModel(exampleModelDir, { device: dev });
  const ids = prompts.map((prompt) => tokenizer.encode(prompt));
  const all = ids.flatMap((prompt) => Array.from({ length: each }, () => prompt));
  const { tokens } = await generateBatch(model, all, { maxNewTokens: 16, seed: 11 });
  const order = prompts.map((_, i) => i);
  const random = new Random(4);
  order.sort(() => random.normal());
  return order.flatMap((i) => {
    const prompt = ids[i]!;
    const completions = tokens.slice(i * each, (i + 1) * each);
    const good = completions.filter((c) => wanted(tokenizer.decode(c)));
    const bad = completions.filter((c) => !wanted(tokenizer.decode(c)));
    return good.flatMap((chosen, k) => (bad[k] ? [{ prompt, chosen, rejected: bad[k] }] : []));
  });
}

const read = (pairs: readonly Pair[]) => ({ pairs, truncated: [], dropped: [] });
async function last(steps: AsyncIterable<StepMetrics>): Promise<StepMetrics> {
  let final: StepMetrics | undefined;
  for await (const m of steps) final = m;
  return final!;
}
const optimizer = (lr: number) => chain(clipByGlobalNorm(1), adamw({ lr, weightDecay: 0 }));
const validation = () => ({ every: 0, sets: { held: packPairs(held, 16) } });

describe("the shipped model, a preference that can be decided exactly", () => {
  test("DPO on all weights ranks 95 % of held-out pairs", { timeout: 120_000 }, async () => {
    using model = await loadModel(exampleModelDir, { device: dev });
    const m = await last(
      trainDpo({
        model,
        data: read(training),
        optimizer: optimizer(3e-4),
        steps: 80,
        batchSize: 32,
        beta: 0.1,
        validation: validation(),
      }),
    );
    expect(m.validation!["held/rewards/accuracies"]).toBeGreaterThan(0.95);
  });

  test("so does DPO on a DoRA of experts and attention, against the adapter switched off", {
    timeout: 120_000,
  }, async () => {
    using model = await loadModel(exampleModelDir, { device: dev });
    using adapter = attachDora(model, { rank: 16, alpha: 32, targets: "all-linear" });
    const m = await last(
      trainDpo({
        model,
        params: adapter.params,
        data: read(training),
        optimizer: optimizer(1e-3),
        steps: 80,
        batchSize: 32,
        reference: adapter.off,
        validation: validation(),
      }),
    );
    expect(m.validation!["held/rewards/accuracies"]).toBeGreaterThan(0.95);
  });

  test("a reward model ranks 95 % of held-out pairs", { timeout: 120_000 }, async () => {
    using model = await loadModel(exampleModelDir, { device: dev });
    using head = attachRewardHead(model);
    const m = await last(
      trainReward({
        model,
        head,
        data: read(training),
        optimizer: optimizer(1e-3),
        steps: 80,
        batchSize: 32,
        validation: validation(),
      }),
    );
    expect(m.validation!["held/rewards/accuracies"]).toBeGreaterThan(0.95);
  });

  test("PPO raises the reward over the model as it was: three seeds, intervals apart", {
    timeout: 240_000,
  }, async () => {
    const reward: RewardFunction = (samples) => samples.map(({ completion }) => (wanted(completion) ? 1 : 0));
    const before: number[] = [];
    const after: number[] = [];
    const kls: number[] = [];
    for (const seed of [1, 2, 3]) {
      using model = await loadModel(exampleModelDir, { device: dev });
      const meanReward = async (): Promise<number> => {
        const ids = prompts.flatMap((prompt) => Array.from({ length: 4 }, () => tokenizer.encode(prompt)));
        const { tokens } = await generateBatch(model, ids, { maxNewTokens: 16, seed: 100 + seed });
        return tokens.filter((completion) => wanted(tokenizer.decode(completion))).length / ids.length;
      };
      before.push(await meanReward());
      for await (const m of trainPpo({
        model,
        tokenizer,
        data: prompts.map((prompt) => ({ prompt })),
        reward,
        optimizer: optimizer(3e-4),
        steps: 20,
        batchSize: 64,
        minibatches: 2,
        maxNewTokens: 16,
        klCoef: 0.02,
        seed,
      })) {
        kls.push(m["objective/kl"]!);
      }
      after.push(await meanReward());
    }
    // 95 % of Student's t with two degrees of freedom.
    const interval = (values: number[]) => {
      const mean = values.reduce((a, b) => a + b) / values.length;
      const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
      return { mean, half: 4.303 * Math.sqrt(variance / values.length) };
    };
    const [low, high] = [interval(before), interval(after)];
    expect(high.mean - high.half).toBeGreaterThan(low.mean + low.half);
    expect(Math.max(...kls)).toBeGreaterThan(0.1);
  });
});
