import { afterAll, beforeAll, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { native } from "../../lib/core/native.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { type LrGroup, loraPlus } from "../../lib/optim/lr_groups.ts";
import { type Optimizer, optimizerOf } from "../../lib/optim/optimizer.ts";
import { optimizers, type Tensors, thrown } from "../support/optimizers.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2, debug: ["guard"] });
});
afterAll(() => dev.close());

const shapes: Record<string, number[]> = {
  "q.lora_A.weight": [2, 3],
  "q.lora_B.weight": [3, 2],
  "embed.lora_embedding_B": [4, 2],
  "norm.weight": [3],
};

/** All parameters after three updates. */
async function trained(optimizer: Optimizer): Promise<Record<string, number[]>> {
  const make = (value: number): Tensors =>
    Object.fromEntries(
      Object.entries(shapes).map(([key, shape]) => [key, dev.full(shape, value + key.length / 8)]),
    );
  const [params, grads] = [make(0), make(1)];
  using run = optimizer.init(params);
  for (let i = 0; i < 3; i++) run.step(grads).gradNorm.dispose();
  const entries = Object.entries(params).map(async ([key, p]) => [key, Array.from(await p.data())] as const);
  const result = Object.fromEntries(await Promise.all(entries));
  disposeAll(params, grads);
  return result;
}

it("a parameter learns and decays as under its group's rate alone, the first match counting", async () => {
  const at = async (lr: number) => trained(adamw({ lr, weightDecay: 0.5 }));
  const [one, two, sixteen] = [await at(0.01), await at(0.02), await at(0.16)];
  const got = await trained(
    adamw({
      lr: () => 0.01,
      weightDecay: 0.5,
      groups: [
        ...loraPlus(),
        { match: (_, shape) => shape.length === 1, lrScale: 2 },
        { match: /weight/, lrScale: 1 },
      ],
    }),
  );
  expect(got).toEqual({
    "q.lora_A.weight": one["q.lora_A.weight"],
    "q.lora_B.weight": sixteen["q.lora_B.weight"],
    "embed.lora_embedding_B": sixteen["embed.lora_embedding_B"],
    "norm.weight": two["norm.weight"],
  });
  expect(one["q.lora_B.weight"]).not.toEqual(sixteen["q.lora_B.weight"]);
});

it.each(Object.keys(optimizers))(
  "%s: takes groups; a scale of 1 changes no bit, 0 none at all",
  async (name) => {
    const { rule, maxNorm } = optimizers[name]!();
    const groups = (lrScale: number): LrGroup[] => [{ match: /lora_/g, lrScale }];
    const plain = await trained(optimizerOf(rule, maxNorm));
    expect(await trained(optimizerOf({ ...rule, groups: groups(1) }, maxNorm))).toEqual(plain);
    const still = await trained(optimizerOf({ ...rule, groups: groups(0) }, maxNorm));
    expect(still["norm.weight"]).toEqual(plain["norm.weight"]);
    expect(still["q.lora_A.weight"]).toEqual(new Array(6).fill(15 / 8));
  },
);

it("takes one pass for each rate and decay in use", async () => {
  const { ops } = native();
  const passes: number[] = [];
  const kernel = ops.adamw!;
  ops.adamw = (...operands) => {
    passes.push((operands[2] as number[]).length);
    kernel(...operands);
  };
  try {
    await trained(adamw({ decay: (_, shape) => shape.length > 1, groups: loraPlus() }));
  } finally {
    ops.adamw = kernel;
  }
  expect(passes).toEqual([1, 2, 1, 1, 2, 1, 1, 2, 1]);
});

it("groups that match nothing, or aren't groups, are refused", () => {
  const params = { w: dev.full([2], 1) };
  const { live } = dev.stats();
  const nothing = thrown(() => adamw({ groups: loraPlus() }).init(params));
  expect(nothing).toBeInstanceOf(ConfigError);
  expect(nothing.message).toContain("groups[0]");
  expect(nothing.message).toContain("matches none of 1 parameters");
  expect(dev.stats().live).toBe(live);
  const keys = [
    [{ match: /w/, lrScale: -1 }],
    [
      { match: /w/, lrScale: 1 },
      { match: "w", lrScale: 1 },
    ],
    [{ match: /w/, lrScale: 1, lr: 3 }],
  ].map((groups) => thrown(() => adamw({ groups: groups as never })).key);
  expect(keys).toEqual(["groups[0].lrScale", "groups[1].match", "lr"]);
  disposeAll(params);
});
