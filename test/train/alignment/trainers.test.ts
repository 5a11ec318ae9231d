import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { attachLora } from "../../../lib/adapters/attach.ts";
import { type Device, device } from "../../../lib/core/device.ts";
import type { Tensor } from "../../../lib/core/tensor.ts";
import { exampleModelDir } from "../../../lib/models/example_model.ts";
import type { Model } from "../../../lib/models/model.ts";
import { attachRewardHead } from "../../../lib/models/score_head.ts";
import { weightedSum } from "../../../lib/ops/add.ts";
import { adamw } from "../../../lib/optim/adamw.ts";
import { packCompletions, packPairs } from "../../../lib/text/alignment_batches.ts";
import type { Labelled, Pair } from "../../../lib/text/alignment_rows.ts";
import { loadTokenizer, type Tokenizer } from "../../../lib/text/tokenizer.ts";
import { type DpoOptions, trainDpo } from "../../../lib/train/dpo.ts";
import { type KtoOptions, trainKto } from "../../../lib/train/kto.ts";
import { logProbs } from "../../../lib/train/loss.ts";
import type { StepMetrics } from "../../../lib/train/metrics.ts";
import * as losses from "../../../lib/train/preference/index.ts";
import { type RewardOptions, trainReward } from "../../../lib/train/reward.ts";
import { testDevice } from "../../support/test_device.ts";
import { tinyModel } from "../../support/tiny_model.ts";

let dev: Device;
let tokenizer: Tokenizer;
let root: string;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
  tokenizer = await loadTokenizer(exampleModelDir);
  root = await mkdtemp(path.join(tmpdir(), "mixwright-alignment-"));
});
afterAll(async () => {
  expect(dev.stats().live).toBe(0);
  dev.close();
  await rm(root, { recursive: true });
});

const tiny = (family: "llama" | "mixtral" = "llama"): Model => tinyModel(family, { device: dev, seed: 3 });
const ids = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => 3 + ((seed * 7 + i * 11 + i * i * seed) % 37));
const pairs: Pair[] = Array.from({ length: 7 }, (_, i) => ({
  prompt: ids(3 + (i % 3), i),
  chosen: ids(4 + (i % 4), i + 20),
  rejected: ids(3 + (i % 5), i + 40),
}));
const labelled: Labelled[] = pairs.flatMap(({ prompt, chosen, rejected }) => [
  { prompt, completion: chosen, label: true },
  { prompt, completion: rejected, label: false },
]);
const read = (list: readonly Pair[] = pairs) => ({ pairs: list, truncated: [], dropped: [] });
const readKto = (list: readonly Labelled[] = labelled) => ({ labelled: list, truncated: [], dropped: [] });

const optimizer = () => adamw({ lr: 3e-3, weightDecay: 0 });
const dpo = (model: Model, options: Partial<DpoOptions> = {}) =>
  trainDpo({ model, data: read(), optimizer: optimizer(), steps: 6, batchSize: 3, ...options });
const kto = (model: Model, options: Partial<KtoOptions> = {}) =>
  trainKto({ model, data: readKto(), optimizer: optimizer(), steps: 6, batchSize: 4, ...options });

async function all(steps: AsyncIterable<StepMetrics>): Promise<StepMetrics[]> {
  const metrics: StepMetrics[] = [];
  for await (const m of steps) metrics.push(m);
  return metrics;
}
const bits = (params: Record<string, Tensor>) =>
  Promise.all(Object.values(params).map(async (p) => [...(await p.data())]));
const exact = (metrics: StepMetrics[]) => metrics.map(({ tokensPerSecond: _, ...m }) => m);

describe.each([
  [
    "DPO",
    dpo as (model: Model, options: object) => AsyncIterable<StepMetrics>,
    read([...pairs.slice(0, 3), ...pairs.slice(0, 3)]),
  ],
  [
    "KTO",
    kto as (model: Model, options: object) => AsyncIterable<StepMetrics>,
    readKto([...labelled.slice(0, 3), ...labelled.slice(0, 3)]),
  ],
])("%s", (name, run, twice) => {
  test("stopped and resumed, with the reference of the start: the bits of a run that wasn't", async () => {
    using whole = tiny();
    const want = exact(await all(run(whole, {})));
    const dir = path.join(root, name);
    using first = tiny();
    await all(run(first, { steps: 3, checkpoint: { dir } }));
    using second = tiny("llama");
    const rest = await all(run(second, { checkpoint: { dir, resume: true } }));
    expect(exact(rest)).toEqual(want.slice(3));
    expect(await bits(second.params)).toEqual(await bits(whole.params));
  });

  test("references agree: the start, a second model, an adapter switched off", async () => {
    const seen: number[][] = [];
    const learn = async (model: Model, options: object) => {
      const metrics = await all(run(model, options));
      seen.push(metrics.map((m) => m["rewards/chosen"] ?? Number.NaN));
    };
    using a = tiny();
    await learn(a, {});
    using b = tiny();
    using reference = tiny();
    await learn(b, { reference });
    seen[0]!.forEach((reward, k) => {
      if (Number.isFinite(reward)) expect(seen[1]![k]).toBeCloseTo(reward, 4);
    });
    using c = tiny();
    using adapter = attachLora(c, { rank: 4, targets: "all-linear" });
    await learn(c, { params: adapter.params });
    using d = tiny();
    using same = attachLora(d, { rank: 4, targets: "all-linear" });
    await learn(d, { params: same.params, reference: "initial" });
    expect(adapter.isOn).toBe(true);
    seen[2]!.forEach((reward, k) => {
      if (Number.isFinite(reward)) expect(seen[3]![k]).toBeCloseTo(reward, 4);
    });
  });

  test("router losses of a sparse model", async () => {
    using model = tiny("mixtral");
    const [m] = await all(run(model, { auxLossCoef: 0.01, steps: 1 }));
    expect(m!.auxLoss).toBeGreaterThan(1.5);
    using dense = tiny();
    await expect(all(run(dense, { auxLossCoef: 0.01 }))).rejects.toThrow(/no router/);
    // Parts of the same rows are routed alike: the load of each is that of the whole.
    const learn = async (batchSize: number, accumulationSteps: number) => {
      using sparse = tiny("mixtral");
      const router = { auxLossCoef: 0.5, zLossCoef: 0.1 };
      const cut = { data: twice, shuffle: false, steps: 2, batchSize, accumulationSteps };
      return await all(run(sparse, { ...router, ...cut }));
    };
    const whole = await learn(6, 1);
    const parts = await learn(3, 2);
    whole.forEach((m, k) => {
      expect(m.loss).toBeGreaterThan(0.5 * m.auxLoss!);
      for (const key of ["loss", "auxLoss", "zLoss"] as const) expect(parts[k]![key]).toBeCloseTo(m[key]!, 4);
      expect(parts[k]!.gradNorm / m.gradNorm).toBeCloseTo(1, 3);
    });
  });

  test("an attached adapter is what trains, without its dropout; what else would move the reference is refused", async () => {
    using model = tiny();
    const base = await bits(model.params);
    using adapter = attachLora(model, { rank: 4, targets: "all-linear", dropout: 0.5 });
    const before = await bits(adapter.params);
    const [m] = await all(run(model, { steps: 1 }));
    expect(m!.loss).toBeCloseTo(name === "KTO" ? 0.5 : Math.LN2, 5);
    expect(await bits(model.params)).toEqual(base);
    expect(await bits(adapter.params)).not.toEqual(before);
    await expect(all(run(model, { params: model.params }))).rejects.toThrow(/would move along/);
    await expect(all(run(model, { reference: () => undefined }))).rejects.toThrow(/left the adapter on/);
    expect(adapter.isOn).toBe(true);
  });

  test("a folder of a run that died before its first checkpoint: the reference is taken anew", async () => {
    const dir = path.join(root, `${name}-anew`);
    using first = tinyModel("llama", { device: dev, seed: 8 });
    const dying = run(first, { checkpoint: { dir } })[Symbol.asyncIterator]();
    await dying.next();
    await dying.return?.();
    await rm(path.join(dir, "step-00000001"), { recursive: true, force: true });
    using second = tiny();
    const [m] = await all(run(second, { checkpoint: { dir, resume: true }, steps: 1 }));
    expect(m!.loss).toBeCloseTo(name === "KTO" ? 0.5 : Math.LN2, 4);
  });

  test("refusals", async () => {
    using model = tiny();
    const refused = (options: object, message: RegExp) =>
      expect(all(run(model, options)), String(message)).rejects.toThrow(message);
    await refused({ los: "x" }, /unknown option "los", is it loss\?/);
    await refused({ reference: model }, /the model that trains/);
    await refused({ reference: () => undefined }, /no adapter/);
    await refused({ reference: "start" }, /reference is start/);
    await refused({ beta: 0 }, /beta is 0/);
    await refused({ data: [{ prompt: "x" }], tokenizer }, /row 1/);
    await refused({ data: [{ prompt: "x", chosen: "y", rejected: "z" }] }, /a tokenizer was needed/);
    await refused({ batchSize: 0 }, /batchSize is 0/);
  });
});

describe("DPO", () => {
  test("parts of a batch add up to its loss", async () => {
    const learn = async (batchSize: number, accumulationSteps: number) => {
      using model = tiny();
      const data = read(pairs.slice(0, 6));
      return await all(dpo(model, { data, batchSize, accumulationSteps, shuffle: false, steps: 3 }));
    };
    const whole = await learn(6, 1);
    const parts = await learn(2, 3);
    whole.forEach((m, k) => {
      expect(parts[k]!.loss).toBeCloseTo(m.loss, 5);
      expect(parts[k]!.gradNorm / m.gradNorm).toBeCloseTo(1, 4);
      expect(parts[k]!["rewards/margins"]).toBeCloseTo(m["rewards/margins"]!, 4);
    });
  });

  test("the order of pairs within a batch doesn't matter", async () => {
    using model = tiny();
    const [forth] = await all(dpo(model, { batchSize: 7, shuffle: false, steps: 1 }));
    using other = tiny();
    const data = read([...pairs].reverse());
    const [back] = await all(dpo(other, { data, batchSize: 7, shuffle: false, steps: 1 }));
    expect(back!.loss).toBeCloseTo(forth!.loss, 6);
    expect(back!.gradNorm / forth!.gradNorm).toBeCloseTo(1, 5);
  });

  test("validation is measured against the same reference, in its own batches", async () => {
    for (const reference of ["initial", undefined] as const) {
      using model = tiny();
      using second = tiny();
      const held = packPairs(
        [...pairs].reverse().map((pair) => ({ ...pair, rejected: [...pair.rejected, 5] })),
        2,
      );
      const validation = { every: 1, sets: { held } };
      const optimizer = adamw({ lr: 1e-12, weightDecay: 0 });
      const metrics = await all(
        dpo(model, { validation, optimizer, reference: reference ?? second, steps: 1 }),
      );
      expect(metrics[0]!.validation!.held).toBeCloseTo(Math.LN2, 4);
      expect(metrics[0]!.validation!["held/rewards/margins"]).toBeCloseTo(0, 3);
    }
  });

  test("sums of losses, weighted", async () => {
    const first = async (loss: DpoOptions["loss"]) => {
      using model = tiny();
      using reference = tinyModel("llama", { device: dev, seed: 4 });
      const [m] = await all(dpo(model, { loss, reference, steps: 1, shuffle: false }));
      return m!.loss;
    };
    const [sigmoid, bco] = [await first("sigmoid"), await first("bco_pair")];
    const sum = await first([
      { loss: "dpo", weight: 0.8 },
      { loss: "bcoPair", weight: 0.2 },
    ]);
    expect(sum).toBeCloseTo(0.8 * sigmoid + 0.2 * bco, 4);
    using model = tiny();
    using reference = tinyModel("llama", { device: dev, seed: 4 });
    const own: DpoOptions["loss"] = (of) =>
      weightedSum([
        { value: losses.dpo(of), weight: 0.8 },
        { value: losses.bcoPair(of), weight: 0.2 },
      ]);
    const byHand = await all(dpo(model, { loss: own, reference, steps: 3 }));
    using again = tiny();
    const loss = [
      { loss: "sigmoid", weight: 0.8 },
      { loss: "bco_pair", weight: 0.2 },
    ];
    const named = await all(dpo(again, { loss, reference, steps: 3 }));
    named.forEach((m, k) => {
      expect(m.loss).toBeCloseTo(byHand[k]!.loss, 4);
      expect(m.gradNorm / byHand[k]!.gradNorm).toBeCloseTo(1, 4);
    });
    expect(
      await first(({ chosen }) =>
        losses.hinge({ chosen, rejected: chosen, refChosen: chosen, refRejected: chosen }),
      ),
    ).toBeCloseTo(1, 6);
  });

  test("length-desensitized: the tail beyond the shorter completion counts alpha", async () => {
    using model = tiny();
    const pair = { prompt: [5, 6], chosen: [7, 8, 9, 10, 11], rejected: [12, 13] };
    const sums = async (completion: number[]) => {
      const tensor = logProbs(model, packCompletions([{ prompt: pair.prompt, completion }]));
      const value = await tensor.item();
      tensor.dispose();
      return value;
    };
    const head = await sums(pair.chosen.slice(0, 2));
    const whole = await sums(pair.chosen);
    const rejected = await sums(pair.rejected);
    const [m] = await all(dpo(model, { data: read([pair]), batchSize: 1, ldAlpha: 0.25, steps: 1 }));
    expect(m!["logps/chosen"]).toBeCloseTo(head + 0.25 * (whole - head), 3);
    expect(m!["logps/rejected"]).toBeCloseTo(rejected, 3);
    expect(m!.loss).toBeCloseTo(Math.LN2, 5);
  });

  test("losses and settings that don't go together are refused by name", async () => {
    using model = tiny();
    const refused = (options: object, message: RegExp) =>
      expect(all(dpo(model, options)), String(message)).rejects.toThrow(message);
    await refused({ loss: "ippo" }, /unknown loss "ippo", is it ipo\?/);
    await refused({ loss: "hinge", labelSmoothing: 0.1 }, /labelSmoothing is no setting of hinge/);
    await refused({ loss: "simpo", reference: "initial" }, /simpo reads no reference/);
    await refused({ loss: "simpo", gamma: 1, gammaBetaRatio: 1 }, /one of them/);
    await refused({ loss: [] }, /empty list/);
    await refused(
      {
        loss: [
          { loss: "orpo", weight: 1 },
          { loss: "cpo", weight: 1 },
        ],
      },
      /different tokens/,
    );
    await refused({ divergence: "kl" }, /divergence/);
    await refused({ data: read([]) }, /0 of 0 rows are left/);
  });

  test("rows that are cut or dropped are told", async () => {
    const model = tinyModel("llama", { device: dev, seed: 3 }, { vocab_size: 1024, eos_token_id: 0 });
    const warning = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const data = [
      { prompt: "a kind of", chosen: " bird", rejected: " fish" },
      { prompt: "a kind of", chosen: " bird", rejected: " bird" },
      { prompt: "a kind of", chosen: " bird that lives near rivers and lakes", rejected: " fish" },
    ];
    const steps = trainDpo({ model, tokenizer, data, optimizer: optimizer(), steps: 1, maxLength: 10 });
    const [m] = await all(steps);
    expect(m!.loss).toBeCloseTo(Math.LN2, 5);
    expect(warning.mock.calls.join()).toMatch(
      /1 rows were cut to 10 tokens \(the first is row 3\), 1 were dropped \(the first is row 2/,
    );
    warning.mockRestore();
    model.dispose();
  });

  test("a reference kept for other pairs is refused", async () => {
    using model = tiny();
    const dir = path.join(root, "other-pairs");
    await all(dpo(model, { steps: 1, checkpoint: { dir } }));
    const data = read(pairs.slice(1));
    await expect(all(dpo(model, { data, checkpoint: { dir, resume: true } }))).rejects.toThrow(/other pairs/);
  });
});

describe("KTO", () => {
  test("batches of one kind only, and empty completions, give finite numbers", async () => {
    for (const label of [true, false]) {
      using model = tiny();
      const rows = labelled.map((row) => ({ ...row, label }));
      const metrics = await all(kto(model, { data: readKto(rows), steps: 3 }));
      for (const m of metrics)
        for (const [key, value] of Object.entries(m)) expect(value, key).toSatisfy(Number.isFinite);
      expect(metrics[0]!.loss).toBeCloseTo(0.5, 5);
      expect(Object.keys(metrics[0]!).includes("rewards/margins")).toBe(false);
    }
    using model = tiny();
    const rows = [...labelled.slice(0, 3), { prompt: [4, 5], completion: [], label: true }];
    const metrics = await all(kto(model, { data: readKto(rows), steps: 3 }));
    for (const m of metrics) expect(m.loss).toSatisfy(Number.isFinite);
  });

  test("in parts of one kind each, the metrics of a kind are those of the whole", async () => {
    const sorted = [...labelled].sort((a, b) => Number(b.label) - Number(a.label));
    const rows = [...sorted.slice(0, 3), ...sorted.slice(-3)];
    const logps: number[][] = [];
    for (const [batchSize, accumulationSteps] of [
      [6, 1],
      [3, 2],
    ] as const) {
      using model = tiny();
      const loss = "apoZeroUnpaired";
      const options = {
        batchSize,
        accumulationSteps,
        loss,
        data: readKto(rows),
        shuffle: false,
        steps: 1,
      } as const;
      const [m] = await all(kto(model, options));
      logps.push([m!["logps/chosen"]!, m!["logps/rejected"]!, m!.loss]);
    }
    logps[0]!.forEach((value, i) => {
      expect(logps[1]![i]).toBeCloseTo(value, 4);
    });
  });

  test("weights, and the loss that estimates no KL", async () => {
    using model = tiny();
    const [m] = await all(kto(model, { desirableWeight: 2, undesirableWeight: 2, steps: 1 }));
    expect(m!.loss).toBeCloseTo(1, 5);
    using other = tiny();
    const metrics = await all(kto(other, { loss: "apoZeroUnpaired", steps: 2 }));
    expect(metrics[0]!.loss).toBeCloseTo(0.5, 5);
    expect("kl/z" in metrics[1]!).toBe(false);
    await expect(all(kto(other, { data: readKto(labelled.slice(1, 2)) }))).rejects.toThrow(/at least 2/);
  });
});

describe("reward model", () => {
  const reward = (model: Model, options: Partial<RewardOptions> & Pick<RewardOptions, "head">) =>
    trainReward({ model, data: read(), optimizer: optimizer(), steps: 6, batchSize: 3, ...options });

  test("stopped and resumed: the bits of a run that wasn't", async () => {
    using whole = tiny();
    using head = attachRewardHead(whole);
    const want = exact(await all(reward(whole, { head })));
    expect(want.at(-1)!.loss).toBeLessThan(want[0]!.loss);
    const dir = path.join(root, "reward");
    using first = tiny();
    using firstHead = attachRewardHead(first);
    await all(reward(first, { head: firstHead, steps: 3, checkpoint: { dir } }));
    using second = tiny();
    using secondHead = attachRewardHead(second, { seed: 9 });
    const rest = await all(reward(second, { head: secondHead, checkpoint: { dir, resume: true } }));
    expect(exact(rest)).toEqual(want.slice(3));
    expect(await bits(secondHead.params)).toEqual(await bits(head.params));
  });

  test("margins of rows count, and what is saved is what is loaded", async () => {
    using model = tiny();
    using head = attachRewardHead(model);
    const [plain] = await all(reward(model, { head, steps: 1, shuffle: false }));
    using again = tiny();
    using same = attachRewardHead(again);
    const data = read(pairs.map((pair) => ({ ...pair, margin: 1 })));
    const [wider] = await all(reward(again, { head: same, data, steps: 1, shuffle: false }));
    expect(wider!.loss).toBeGreaterThan(plain!.loss + 0.3);
    const file = path.join(root, "head.safetensors");
    await head.save(file);
    using loaded = attachRewardHead(model, { weights: file });
    expect(await bits(loaded.params)).toEqual(await bits(head.params));
    using wide = tinyModel("llama", { device: dev }, { hidden_size: 32 });
    expect(() => attachRewardHead(wide, { weights: file })).toThrow(/score.weight is \[1, 16\] F32/);
    expect(() => attachRewardHead(model, { weights: path.join(root, "none") })).toThrow(/none/);
  });

  test("an adapter and the head alone", async () => {
    using model = tiny();
    using adapter = attachLora(model, { rank: 2 });
    using head = attachRewardHead(model);
    const base = await bits(model.params);
    const params = { ...adapter.params, ...head.params };
    const metrics = await all(reward(model, { head, params, centering: 0.01 }));
    expect(metrics.at(-1)!.loss).toBeLessThan(metrics[0]!.loss);
    expect(await bits(model.params)).toEqual(base);
  });
});
