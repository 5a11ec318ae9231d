import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachLora } from "../../../lib/adapters/attach.ts";
import { type Device, device } from "../../../lib/core/device.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import { exampleModelDir } from "../../../lib/models/example_model.ts";
import { loadModel } from "../../../lib/models/load.ts";
import type { Model } from "../../../lib/models/model.ts";
import { attachRewardHead } from "../../../lib/models/score_head.ts";
import { adamw } from "../../../lib/optim/adamw.ts";
import { loadTokenizer, type Tokenizer } from "../../../lib/text/tokenizer.ts";
import { checkpointSteps } from "../../../lib/train/checkpoint.ts";
import { type GrpoOptions, trainGrpo } from "../../../lib/train/grpo.ts";
import type { StepMetrics } from "../../../lib/train/metrics.ts";
import { type PpoOptions, ppo, trainPpo } from "../../../lib/train/ppo.ts";
import type { RewardFunction, Sample } from "../../../lib/train/rl/rollout.ts";
import { testDevice } from "../../support/test_device.ts";
import { tinyModel } from "../../support/tiny_model.ts";

let dev: Device;
let tokenizer: Tokenizer;
let root: string;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
  tokenizer = await loadTokenizer(exampleModelDir);
  root = await mkdtemp(path.join(tmpdir(), "mixwright-rl-"));
});
afterAll(async () => {
  expect(dev.stats().live).toBe(0);
  dev.close();
  await rm(root, { recursive: true });
});

/** The shipped tokenizer's ids, and a model that knows them all. */
const tiny = (family: "llama" | "mixtral" = "llama"): Model =>
  tinyModel(
    family,
    { device: dev, seed: 3 },
    { vocab_size: 1024, eos_token_id: 0, tie_word_embeddings: true },
  );
/** One that finds all tokens equally likely, and whose texts don't end. */
const bandit = (): Model =>
  tinyModel(
    "llama",
    { device: dev, seed: 1 },
    { vocab_size: 1024, eos_token_id: null, initializer_range: 0.02 },
  );
const prompts = ["a kind of", "the act of", "a person who", "of or"].map((prompt) => ({ prompt }));
/** How many of a completion's tokens are even: something to count. */
const evenTokens: RewardFunction = (samples) =>
  samples.map(({ completionTokens: ids }) => ids.filter((id) => id % 2 === 0).length / ids.length);

const common = () => ({
  tokenizer,
  data: prompts,
  reward: evenTokens,
  optimizer: adamw({ lr: 1e-2, weightDecay: 0 }),
  batchSize: 4,
  maxNewTokens: 6,
  steps: 3,
});
const ppoRun = (model: Model, options: Partial<PpoOptions> = {}) =>
  trainPpo({ ...common(), model, epochs: 2, minibatches: 2, ...options });
const grpoRun = (model: Model, options: Partial<GrpoOptions> = {}) =>
  trainGrpo({ ...common(), model, groupSize: 3, beta: 0.05, epochs: 2, ...options });

async function all(steps: AsyncIterable<StepMetrics>): Promise<StepMetrics[]> {
  const metrics: StepMetrics[] = [];
  for await (const m of steps) metrics.push(m);
  return metrics;
}
async function bits(params: Record<string, Tensor>): Promise<number[][]> {
  return Promise.all(Object.values(params).map(async (p) => [...(await p.data())]));
}
/** Everything but times. */
const withoutTimes = (metrics: StepMetrics[]) =>
  metrics.map((m) => Object.fromEntries(Object.entries(m).filter(([key]) => !/seconds|PerSecond/.test(key))));

describe.each([
  ["PPO", ppoRun],
  ["GRPO", grpoRun],
] as const)("%s", (name, run) => {
  test("the same run gives the same bits, and the parts' times add up to the step", async () => {
    const results: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      using model = tiny();
      const metrics = await all(run(model));
      expect(metrics.map((m) => m.step)).toEqual([1, 2, 3]);
      for (const m of metrics) {
        for (const [key, value] of Object.entries(m)) expect(value, key).toSatisfy(Number.isFinite);
        for (const part of ["rollout", "score", "learn"] as const)
          expect(m[`seconds/${part}`]).toBeGreaterThan(0);
      }
      expect(metrics[0]!["objective/kl"]).toBeCloseTo(0, 4);
      expect(metrics[1]!["objective/kl"]).not.toBeCloseTo(0, 4);
      results.push(withoutTimes(metrics), await bits(model.params));
    }
    expect(results[2]).toEqual(results[0]);
    expect(results[3]).toEqual(results[1]);
  });

  test("cut into parts, a minibatch gives the same losses", async () => {
    const losses: number[][] = [];
    for (const accumulationSteps of [1, 2]) {
      using model = tiny();
      const metrics = await all(run(model, { accumulationSteps, minibatches: 1, steps: 2 }));
      losses.push(metrics.map((m) => m.loss));
    }
    losses[0]!.forEach((loss, k) => {
      expect(losses[1]![k]).toBeCloseTo(loss, 4);
    });
  });

  test("aborted in the middle of a rollout, and resumed: the bits of a run that wasn't", async () => {
    using whole = tiny();
    const want = withoutTimes(await all(run(whole, { steps: 4 })));
    const dir = path.join(root, name);
    const stop = new AbortController();
    let calls = 0;
    const reward: RewardFunction = async (samples) => {
      if (++calls === 3) stop.abort();
      await new Promise((resolve) => setTimeout(resolve, 5));
      return evenTokens(samples);
    };
    using first = tiny();
    const half = await all(run(first, { steps: 4, reward, signal: stop.signal, checkpoint: { dir } }));
    expect(withoutTimes(half)).toEqual(want.slice(0, 2));
    expect(await checkpointSteps(dir)).toEqual([2]);
    using second = tiny();
    const rest = await all(run(second, { steps: 4, checkpoint: { dir, resume: true } }));
    expect(withoutTimes(rest)).toEqual(want.slice(2));
    expect(await bits(second.params)).toEqual(await bits(whole.params));
  });

  test("a reference that follows and a KL weight that is steered go on where they were", async () => {
    const klCoef = { initial: 0.1, target: 1e-4, horizon: 20 };
    const following = { referenceDecay: 0.5, steps: 4, ...(name === "PPO" && { klCoef }) };
    using whole = tiny();
    const want = withoutTimes(await all(run(whole, following)));
    const kls = want.map((m) => m["objective/kl"]);
    expect(new Set(kls.slice(1)).size).toBe(3);
    if (name === "PPO") expect(new Set(want.map((m) => m["objective/klCoef"])).size).toBe(4);
    const dir = path.join(root, `${name}-following`);
    using first = tiny();
    await all(run(first, { ...following, steps: 2, checkpoint: { dir } }));
    using second = tiny();
    const rest = await all(run(second, { ...following, checkpoint: { dir, resume: true } }));
    expect(withoutTimes(rest)).toEqual(want.slice(2));
    expect(await bits(second.params)).toEqual(await bits(whole.params));
    using still = tiny();
    const fixed = await all(run(still, { ...following, referenceDecay: 1 }));
    expect(fixed.map((m) => m["objective/kl"])[2]).not.toBeCloseTo(kls[2]!, 5);
  });

  test("an abort while tokens are drawn ends the run", async () => {
    using model = tiny();
    const stop = new AbortController();
    const dir = path.join(root, `${name}-drawing`);
    setTimeout(() => stop.abort(), 150);
    const data = Array.from({ length: 64 }, (_, i) => ({ prompt: `word ${i}` }));
    const metrics = await all(
      run(model, {
        data,
        batchSize: 64,
        maxNewTokens: 50,
        steps: 1000,
        signal: stop.signal,
        checkpoint: { dir },
      }),
    );
    expect(metrics.length).toBeLessThan(1000);
    expect((await checkpointSteps(dir)).at(-1) ?? 0).toBe(metrics.length);
  });

  test.each<[string, RewardFunction, RegExp]>([
    ["NaN", (samples) => samples.map((_, i) => (i === 1 ? Number.NaN : 1)), /score of sample 1 is NaN/],
    ["too few scores", () => [1], /1 scores for \d+ samples/],
    ["no scores", () => undefined as unknown as number[], /undefined scores/],
    ["a promise that rejects", () => Promise.reject(new Error("the judge is away")), /the judge is away/],
    [
      "an error",
      () => {
        throw new Error("no such word");
      },
      /no such word/,
    ],
  ])("a reward that gives %s changes nothing", async (_, reward, message) => {
    using model = tiny();
    const before = await bits(model.params);
    await expect(all(run(model, { reward }))).rejects.toThrow(message);
    expect(await bits(model.params)).toEqual(before);
  });

  test("LoRA: the base stays, and the adapter switched off is the reference as it was at the start", async () => {
    const kls: unknown[] = [];
    for (const reference of [undefined, "initial"] as const) {
      using model = tiny();
      const base = await bits(model.params);
      using adapter = attachLora(model, { rank: 4, targets: "all-linear", seed: 1 });
      const { params } = adapter;
      const metrics = await all(run(model, { params, ...(reference && { reference }) }));
      kls.push(metrics.map((m) => m["objective/kl"]));
      expect(adapter.isOn).toBe(true);
      expect(await bits(model.params)).toEqual(base);
    }
    expect(kls[1]).toEqual(kls[0]);
  });

  test("a second model as the reference; the reference may follow", async () => {
    using model = tiny();
    using reference = tiny();
    const fixed = await all(run(model, { reference, steps: 3 }));
    using again = tiny();
    const initial = await all(run(again, { steps: 3 }));
    initial.forEach((m, k) => {
      expect(m["objective/kl"]).toBeCloseTo(fixed[k]!["objective/kl"]!, 4);
    });
    using moving = tiny();
    const followed = await all(run(moving, { referenceDecay: 0, steps: 3 }));
    // A reference that is the policy of the step before: no KL when a step begins.
    for (const m of followed) expect(m["objective/kl"]).toBeCloseTo(0, 4);
  });

  test("a reward model scores instead of a function", async () => {
    using model = tiny();
    using judge = tiny("mixtral");
    using reward = attachRewardHead(judge, { seed: 5 });
    const [m] = await all(run(model, { reward, steps: 1 }));
    expect(m!["rollout/score"]).toSatisfy(Number.isFinite);
  });

  test("router losses of a sparse policy", async () => {
    using model = tiny("mixtral");
    const metrics = await all(run(model, { auxLossCoef: 0.01, steps: 2 }));
    for (const { auxLoss } of metrics) expect(auxLoss).toBeGreaterThan(1.5);
    using dense = tiny();
    await expect(all(run(dense, { auxLossCoef: 0.01 }))).rejects.toThrow(/no router/);
  });

  test("an attached adapter is what trains, without its dropout; what else would move the reference is refused", async () => {
    using model = tiny();
    const base = await bits(model.params);
    using adapter = attachLora(model, { rank: 4, targets: "all-linear", dropout: 0.5 });
    const before = await bits(adapter.params);
    const [m] = await all(run(model, { steps: 1, epochs: 1, minibatches: 1 }));
    expect(m!["policy/ratio"]).toBeCloseTo(1, 5);
    expect(await bits(model.params)).toEqual(base);
    expect(await bits(adapter.params)).not.toEqual(before);
    await expect(all(run(model, { params: model.params }))).rejects.toThrow(/would move along/);
    await expect(all(run(model, { reference: () => undefined }))).rejects.toThrow(/left the adapter on/);
    expect(adapter.isOn).toBe(true);
  });

  test("a reference that follows does so in bf16 too", async () => {
    using model = tinyModel(
      "llama",
      { device: dev, seed: 3, dtype: "bf16" },
      { vocab_size: 1024, eos_token_id: 0, tie_word_embeddings: true },
    );
    const metrics = await all(run(model, { referenceDecay: 0.5, steps: 3 }));
    for (const m of metrics) expect(m["objective/kl"]).toSatisfy(Number.isFinite);
  });

  test("a reward that never answers doesn't outlive the signal", async () => {
    using model = tiny();
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 100);
    const reward: RewardFunction = () => new Promise(() => undefined);
    expect(await all(run(model, { reward, signal: stop.signal }))).toEqual([]);
  });

  test("weights that are not finite are not saved", async () => {
    using model = tiny();
    const dir = path.join(root, `${name}-infinite`);
    const optimizer = adamw({ lr: 1e38, weightDecay: 0 });
    const steps = run(model, { optimizer, steps: 1, epochs: 1, minibatches: 1, checkpoint: { dir } });
    await expect(all(steps)).rejects.toThrow(/is not finite after step 1: not saved/);
    expect(await checkpointSteps(dir)).toEqual([]);
  });

  test("a reward that fails late: the steps before it are saved", async () => {
    using model = tiny();
    const dir = path.join(root, `${name}-late`);
    let calls = 0;
    const reward: RewardFunction = (samples) => {
      if (++calls === 3) throw new Error("the judge is away");
      return evenTokens(samples);
    };
    await expect(all(run(model, { reward, checkpoint: { dir } }))).rejects.toThrow(/the judge is away/);
    expect(await checkpointSteps(dir)).toEqual([2]);
  });

  test("settings out of range are refused by name", async () => {
    using model = tiny();
    const refused = (options: object, message: RegExp) =>
      expect(all(run(model, options)), String(message)).rejects.toThrow(message);
    await refused({ temperature: 0 }, /temperature is 0/);
    await refused({ maxLength: 64 }, /maxLength is 64, 1 to 58/);
    await refused({ batchSize: 0 }, /batchSize is 0/);
    await refused({ referenceDecay: 2 }, /referenceDecay is 2/);
    await refused({ referenceDecay: 0.9, reference: model }, /another was given/);
    await refused({ reward: "x" }, /reward is x/);
    await refused({ data: [{ text: "x" }] }, /row 1/);
    await refused({ rewards: evenTokens }, /unknown option "rewards", is it reward\?/);
    await refused({ epochs: 0 }, /epochs is 0/);
    await refused({ minibatches: 99 }, /minibatches is 99, at most the \d+ completions/);
    await refused({ reference: model }, /the model that trains/);
    await refused({ maxNewTokens: 64 }, /maxNewTokens is 64, less than the model's 64 positions/);
    await refused({ optimizer: 1e-4 }, /optimizer is number/);
    await refused({ model: undefined }, /model is undefined/);
    using head = attachRewardHead(model);
    await refused({ reward: head }, /a head of the model that trains/);
  });
});

describe("PPO", () => {
  test("nothing to gain, nothing to lose: without reward, KL and values the policy stays (G7)", async () => {
    using model = tiny();
    using value = attachRewardHead(model);
    value.params["score.weight"]!.write(new Float32Array(value.params["score.weight"]!.size));
    const before = await bits(model.params);
    const reward: RewardFunction = (samples) => samples.map(() => 0);
    await all(ppoRun(model, { reward, value, klCoef: 0, normalizeAdvantages: false }));
    expect(await bits(model.params)).toEqual(before);
  });

  test("the first pass over a rollout has ratio 1 and clips nothing", async () => {
    using model = tiny();
    const [m] = await all(ppoRun(model, { epochs: 1, minibatches: 1, steps: 1 }));
    expect(m!["policy/ratio"]).toBeCloseTo(1, 5);
    expect(m!["policy/clipFraction"]).toBe(0);
    expect(m!["policy/loss"]).toBeCloseTo(0, 5);
  });

  test("an armed bandit: it finds the best of three tokens (G7)", async () => {
    using model = bandit();
    const payout: RewardFunction = (samples) =>
      samples.map(({ completionTokens: [token] }) => [0.2, 0.5, 1][token! % 3]!);
    const data = Array.from({ length: 64 }, () => ({ prompt: "a" }));
    const metrics = await all(
      ppoRun(model, { data, batchSize: 64, maxNewTokens: 1, reward: payout, klCoef: 0, steps: 25 }),
    );
    expect(metrics[0]!["rollout/score"]).toBeLessThan(0.75);
    expect(metrics.at(-1)!["rollout/score"]).toBeGreaterThan(0.95);
  });

  test("a loop of one's own from its parts does what the trainer does", async () => {
    using model = tiny();
    const want = await all(ppoRun(model, { steps: 2 }));
    using own = tiny();
    using run = await ppo({ ...common(), model: own, epochs: 2, minibatches: 2 });
    using optimizer = adamw({ lr: 1e-2, weightDecay: 0 }).init(run.params);
    for (let step = 1; step <= 2; step++) {
      const rollout = await run.rollout(step);
      const scores = await run.score(rollout);
      const targets = await run.advantages(rollout, scores);
      const { scalars } = await run.update(step, rollout, targets, optimizer);
      expect(scalars.loss).toBe(want[step - 1]!.loss);
    }
    expect(await bits(own.params)).toEqual(await bits(model.params));
  });

  test("samples carry text, tokens and the row", async () => {
    using model = tiny();
    let seen: readonly Sample[] = [];
    const reward: RewardFunction = (samples) => {
      seen = samples;
      return evenTokens(samples);
    };
    const data = [{ prompt: "a kind of", answer: "bird" }];
    await all(ppoRun(model, { data, reward, batchSize: 1, minibatches: 1, steps: 1 }));
    const [sample] = seen;
    expect(sample).toMatchObject({ prompt: "a kind of", row: { answer: "bird" } });
    const ids = [...sample!.promptTokens, ...sample!.completionTokens];
    expect(sample!.prompt + sample!.completion).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }));
  });

  test("a value function with a model of its own", async () => {
    using model = tiny();
    using critic = tiny("mixtral");
    using value = attachRewardHead(critic);
    const before = await bits(critic.params);
    const policyOnly = Object.keys(model.params).length;
    using run = await ppo({ ...common(), model, value });
    expect(Object.keys(run.params).filter((name) => name.startsWith("value.")).length).toBe(
      Object.keys(run.params).length - policyOnly,
    );
    await all(ppoRun(model, { value }));
    expect(await bits(critic.params)).not.toEqual(before);
  });

  test("the KL's weight is steered towards a target", async () => {
    using model = tiny();
    const klCoef = { initial: 0.1, target: 1e-6, horizon: 10 };
    const metrics = await all(ppoRun(model, { klCoef, steps: 3 }));
    const weights = metrics.map((m) => m["objective/klCoef"]!);
    expect(weights[0]).toBe(0.1);
    // Step 1 has no KL: e^−0.2 per 10 completions; then too much of it.
    expect(weights[1]).toBeCloseTo(0.1 * Math.exp((-0.2 * 4) / 10), 6);
    expect(weights[2]).toBeCloseTo(weights[1]! * Math.exp((0.2 * 4) / 10), 6);
  });

  test("penalty without an end, and clipped scores", async () => {
    using model = tiny();
    const reward: RewardFunction = (samples) => samples.map(() => 7);
    const plain = { reward, steps: 1, maxNewTokens: 1 };
    const [m] = await all(ppoRun(model, { ...plain, scoreClip: 2, missingEosPenalty: 1 }));
    expect(m!["rollout/score"]).toBeCloseTo(2 - (1 - m!["rollout/stopped"]!), 6);
  });
});

describe("GRPO", () => {
  test("groups of equal scores teach nothing, and give no NaN", async () => {
    using model = tiny();
    const before = await bits(model.params);
    const reward: RewardFunction = (samples) => samples.map(() => 1);
    const metrics = await all(grpoRun(model, { reward, beta: 0 }));
    expect(metrics.map((m) => m["rollout/sameScores"])).toEqual([1, 1, 1]);
    expect(await bits(model.params)).toEqual(before);
  });

  test.each([
    ["grpo", {}],
    ["dapo", { epsilonHigh: 0.28 }],
    ["dr_grpo", { scale: "none" }],
    ["gspo", {}],
    ["dapo", { advantage: "rloo", beta: 0 }],
  ] as const)("%s %j raises the score", async (lossType, options) => {
    using model = bandit();
    const learning = {
      lossType,
      beta: 0,
      groupSize: 32,
      batchSize: 1,
      steps: 25,
      epochs: 4,
      maxNewTokens: 2,
    };
    const metrics = await all(grpoRun(model, { ...learning, ...options }));
    const mean = (part: StepMetrics[]) => part.reduce((sum, m) => sum + m["rollout/score"]!, 0) / part.length;
    expect(mean(metrics.slice(-3))).toBeGreaterThan(mean(metrics.slice(0, 3)) + 0.25);
  });
});

// On an idle machine it is a tenth; other work on the machine must not fail it.
test("a rollout of 32 takes a fraction of the time a token that one of 1 takes", {
  timeout: 60_000,
}, async () => {
  using model = await loadModel(exampleModelDir, { device: dev });
  const rate = async (batchSize: number) => {
    const data = Array.from({ length: 32 }, () => ({ prompt: "a kind of" }));
    const options = { ...common(), model, data, batchSize, maxNewTokens: 96, temperature: 1 };
    using run = await ppo({ ...options, minibatches: 1 });
    let best = 0;
    for (let step = 1; step <= 5; step++) {
      const from = performance.now();
      const { starts } = await run.rollout(step);
      best = Math.max(best, starts.at(-1)! / (performance.now() - from));
    }
    return best;
  };
  const one = await rate(1);
  const many = await rate(32);
  expect(many / one).toBeGreaterThan(2);
});
