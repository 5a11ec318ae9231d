import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Adapter } from "../../lib/adapters/adapter.ts";
import { type AttachOptions, attachDora, attachLora } from "../../lib/adapters/attach.ts";
import { loadAdapter, saveAdapter } from "../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, DisposedError } from "../../lib/core/errors.ts";
import { withRandomStreams } from "../../lib/core/random.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Model } from "../../lib/models/model.ts";
import { sgd } from "../../lib/optim/sgd.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { languageModelLoss } from "../../lib/train/loss.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { expectClose } from "../support/oracle.ts";
import { tempDir } from "../support/temp_dir.ts";
import { testDevice } from "../support/test_device.ts";
import { type FamilyName, families, randomize, tinyModel } from "../support/tiny_model.ts";

const batch = packBatch([
  [1, 5, 9, 2, 30, 7, 11, 3, 8, 21, 17],
  [4, 4, 12, 33, 6],
]);
let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

const model = (family: FamilyName, fields?: object): Model =>
  tinyModel(family, { device: dev, seed: 2 }, fields);

async function logitsOf(on: Model): Promise<number[]> {
  using logits = on.logits(batch);
  return Array.from(await logits.data());
}

const kinds = [
  ["LoRA", attachLora],
  ["DoRA", attachDora],
] as const;
const everyLinear = { targets: "all-linear", rank: 3, alpha: 6 } as const;

describe.each(families)("a new adapter changes nothing: %s", (family) => {
  test("LoRA, to the bit", async () => {
    using on = model(family);
    const before = await logitsOf(on);
    using adapter = attachLora(on, { ...everyLinear, dropout: 0.2 });
    expect(await logitsOf(on)).toEqual(before);
    expect(adapter.layers.length).toBe(on.parts.linears.length - 1);
  });

  test("DoRA, to 1e-6; magnitudes are the norms of rows", async () => {
    using on = model(family);
    const before = await logitsOf(on);
    using adapter = attachDora(on, everyLinear);
    expectClose(await logitsOf(on), before, 1e-6 * Math.max(...before.map(Math.abs)), "logits");
    for (const [key, magnitude] of Object.entries(adapter.params)) {
      if (!key.endsWith(".lora_magnitude_vector")) continue;
      const weight = on.params[key.replace("lora_magnitude_vector", "weight")]!;
      const [N = 0, K = 0] = weight.shape;
      const w = await weight.data();
      const norms = Array.from({ length: N }, (_, n) => Math.hypot(...w.slice(n * K, (n + 1) * K)));
      expectClose(await magnitude.data(), norms, 1e-6, key);
    }
  });
});

test("A is uniform in ±1/√in and decided by the seed, B is zero", async () => {
  using on = model("mixtral");
  const draw = async (seed: number): Promise<number[][]> => {
    using adapter = attachLora(on, { targets: ["q_proj", "w2"], rank: 8, seed });
    const values: number[][] = [];
    for (const [key, tensor] of Object.entries(adapter.params)) {
      const data = Array.from(await tensor.data());
      values.push(data);
      const bound = 1 / Math.sqrt(tensor.shape[1]!);
      if (key.includes("lora_B")) expect(new Set(data)).toEqual(new Set([0]));
      else {
        const largest = Math.max(...data.map(Math.abs));
        expect(largest).toBeLessThanOrEqual(bound);
        expect(largest).toBeGreaterThan(0.9 * bound);
      }
    }
    return values;
  };
  const first = await draw(0);
  expect(await draw(0)).toEqual(first);
  expect(await draw(1)).not.toEqual(first);
});

describe("targets", () => {
  const namesOf = (on: Model, options: AttachOptions): string[] => {
    using adapter = attachLora(on, options);
    return Object.keys(adapter.params)
      .filter((key) => key.endsWith("lora_A.weight"))
      .map((key) => key.replace(".lora_A.weight", ""));
  };
  const refused = (on: Model, options: object, message: string | RegExp): void => {
    const { live } = dev.stats();
    const attach = () => attachLora(on, options as AttachOptions);
    expect(attach).toThrow(ConfigError);
    expect(attach).toThrow(message);
    expect(on.adapter).toBeUndefined();
    expect(dev.stats().live).toBe(live);
  };

  test("lists, suffixes, regular expressions, all-linear, exclude, layers", () => {
    using on = model("mixtral");
    const attention = (layer: number, ...names: string[]) =>
      names.map((name) => `model.layers.${layer}.self_attn.${name}`);
    const experts = (layer: number, name: string) =>
      [0, 1, 2, 3].map((e) => `model.layers.${layer}.block_sparse_moe.experts.${e}.${name}`);
    const all = (layer: number) => [
      ...attention(layer, "q_proj", "k_proj", "v_proj", "o_proj"),
      ...["w1", "w3", "w2"].flatMap((name) => experts(layer, name)),
    ];
    const targets = ["q_proj", "v_proj"];
    expect(namesOf(on, {})).toEqual([0, 1].flatMap((layer) => attention(layer, ...targets)));
    expect(namesOf(on, { targets, layers: [1] })).toEqual(attention(1, ...targets));
    expect(namesOf(on, { targets, exclude: ["v_proj"] })).toEqual(
      [0, 1].flatMap((n) => attention(n, "q_proj")),
    );
    expect(namesOf(on, { targets, exclude: ".*layers\\.0\\..*" })).toEqual(attention(1, ...targets));
    expect(namesOf(on, { targets: ["layers.1.self_attn.k_proj"] })).toEqual(attention(1, "k_proj"));
    expect(namesOf(on, { targets: ["w2"], layers: [0] })).toEqual(experts(0, "w2"));
    expect(namesOf(on, { targets: "model\\.layers\\.0\\..*_proj" })).toEqual(
      attention(0, "q_proj", "k_proj", "v_proj", "o_proj"),
    );
    expect(namesOf(on, { targets: ".*experts\\.[02]\\.w3", layers: [1] })).toEqual(
      [0, 2].map((e) => experts(1, "w3")[e]),
    );
    expect(namesOf(on, { targets: "all-linear" }).sort()).toEqual([0, 1].flatMap(all).sort());
  });

  test("shared experts and their gate are linears too", () => {
    using on = model("qwen2_moe");
    const names = namesOf(on, { targets: "all-linear", layers: [0] });
    const shared = names.filter((name) => name.includes("shared_expert"));
    expect(shared.map((name) => name.replace("model.layers.0.mlp.", "")).sort()).toEqual([
      "shared_expert.down_proj",
      "shared_expert.gate_proj",
      "shared_expert.up_proj",
      "shared_expert_gate",
    ]);
    expect(names.some((name) => name.endsWith("mlp.gate") || name === "lm_head")).toBe(false);
    expect(names.length).toBe(4 + 3 * 4 + 4);
  });

  test("a target that isn't there is refused, with what is", () => {
    using on = model("mixtral");
    const message = "no layer is called gate_proj; this model has q_proj, k_proj, v_proj, o_proj, w1, w3, w2";
    refused(on, { targets: ["q_proj", "gate_proj"] }, message);
    refused(on, { targets: ["experts.4.w1"] }, "no layer is called experts.4.w1");
    refused(on, { targets: ["gate"] }, "routers and norms take no adapter");
    refused(on, { targets: "q_proj" }, "no layer is called q_proj");
    refused(on, { targets: "(" }, 'targets "(" is no regular expression');
    refused(on, { targets: [] }, "targets [] with exclude and layers leave no layer");
    refused(
      on,
      { targets: ["q_proj"], exclude: ["self_attn.q_proj"] },
      'targets ["q_proj"] with exclude and layers leave no layer',
    );
    refused(on, { layers: [1, 2] }, "layers has 2, which the model lacks");
    refused(on, { targets: ["lm_head"] }, "modulesToSave trains it as a whole");
  });

  test("settings out of range and options that aren't there are refused", () => {
    using on = model("mixtral");
    refused(on, { rnk: 4 }, 'unknown option "rnk", is it rank?');
    refused(on, { target_modules: ["q_proj"] }, /unknown option "target_modules".* targets/);
    refused(on, { rank: 0 }, "rank is 0, a whole number from 1");
    refused(on, { rank: 2.5 }, "rank is 2.5");
    refused(on, { alpha: Number.NaN }, "alpha is NaN");
    refused(on, { dropout: 1 }, "dropout is 1");
    refused(on, { dropout: -0.1 }, "dropout is -0.1");
    refused(on, { rankPattern: { q_proj: 0 } }, "rank is 0");
    refused(on, { rankPattern: { "(": 2 } }, "is no regular expression");
    refused(on, { modulesToSave: ["lm_haed"] }, 'modulesToSave names "lm_haed", which no module is called');
    refused(on, { modulesToSave: ["experts.1.w1"] }, "which no module is called");
    refused(on, { modulesToSave: ["w1"] }, "which experts are called");
  });

  test("ranks and alphas of single modules", async () => {
    using on = model("mixtral");
    const options = {
      targets: ["q_proj", "k_proj", "w1"],
      rank: 2,
      alpha: 4,
      rankPattern: { "layers.1.self_attn.q_proj": 5, w1: 3 },
      alphaPattern: { k_proj: 10 },
    };
    using adapter = attachLora(on, options);
    const sizes = adapter.layers.map(({ layer, parts }) => [
      layer.modules[0]!.split(".").slice(2).join("."),
      parts.a.shape.at(-2),
      parts.scaling,
    ]);
    expect(sizes).toEqual([
      ["0.self_attn.q_proj", 2, 2],
      ["0.self_attn.k_proj", 2, 5],
      ["0.block_sparse_moe.experts.0.w1", 3, 4 / 3],
      ["1.self_attn.q_proj", 5, 4 / 5],
      ["1.self_attn.k_proj", 2, 5],
      ["1.block_sparse_moe.experts.0.w1", 3, 4 / 3],
    ]);
    adapter.dispose();
    const message =
      "experts of model.layers.0.block_sparse_moe.experts.0.w1 have ranks or alphas of their own";
    refused(on, { ...options, rankPattern: { "experts.1.w1": 3 } }, message);
    refused(on, { ...options, alphaPattern: { "experts.1.w1": 3 } }, message);
  });

  test("modules to save go by the end of their paths, as in PEFT", () => {
    using on = model("qwen3", { num_hidden_layers: 1 });
    const saved = (...modulesToSave: string[]): string[] => {
      using adapter = attachLora(on, { modulesToSave });
      return Object.keys(adapter.params).filter((key) => !key.includes("lora"));
    };
    expect(saved("lm_head", "head", "model.norm")).toEqual(["lm_head.weight", "model.norm.weight"]);
    const at = "model.layers.0";
    const norms = ["input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"];
    expect(saved("norm", "embed_tokens")).toEqual(
      ["model.embed_tokens", "model.norm", ...norms.map((name) => `${at}.${name}`)].map(
        (name) => `${name}.weight`,
      ),
    );
  });

  test("scales: alpha / rank, with rslora alpha / √rank", () => {
    using on = model("llama");
    const scaling = (rslora: boolean): number => {
      using adapter = attachLora(on, { rank: 16, alpha: 16, rslora });
      return adapter.layers[0]!.parts.scaling;
    };
    expect([scaling(false), scaling(true)]).toEqual([1, 4]);
  });

  test.each(kinds)("one expert alone, through saving and loading: %s", async (_, attach) => {
    using on = model("mixtral");
    const before = await logitsOf(on);
    const adapter = attach(on, { targets: ["experts.1.w1"], layers: [0], rank: 2 });
    const at = "model.layers.0.block_sparse_moe.experts.1.w1";
    const parts = attach === attachDora ? ["lora_magnitude_vector"] : [];
    expect(Object.keys(adapter.params).sort()).toEqual(
      ["lora_A.weight", "lora_B.weight", ...parts].map((part) => `${at}.${part}`),
    );
    randomize(adapter.params, "lora_B");
    if (attach === attachDora) randomize(adapter.params, "magnitude", { scale: 2 });
    const adapted = await logitsOf(on);
    // Only tokens that pass the expert, and what attends to them, can have changed.
    const routing = on.routing(batch);
    const chosen = Array.from(await routing[0]!.experts.data());
    disposeAll(routing);
    const V = on.config.vocabSize;
    const changed = (t: number) => adapted.slice(t * V, (t + 1) * V).some((x, v) => x !== before[t * V + v]);
    const passes = (t: number) => chosen.slice(2 * t, 2 * t + 2).includes(1);
    for (const [d, start] of Array.from(batch.offsets).slice(0, -1).entries()) {
      let reached = false;
      for (let t = start; t < batch.offsets[d + 1]!; t++) {
        reached ||= passes(t);
        expect(changed(t), `token ${t}`).toBe(reached);
      }
    }
    const dir = tempDir();
    await saveAdapter(adapter, dir);
    adapter.dispose();
    using _again = await loadAdapter(on, dir);
    expect(await logitsOf(on)).toEqual(adapted);
  });
});

test("on and off, one at a time, dispose", async () => {
  using on = model("mixtral");
  await dev.ready();
  const { live, bytes } = dev.stats();
  const before = await logitsOf(on);
  for (const [, attach] of kinds) {
    const adapter = attach(on, { ...everyLinear, modulesToSave: ["lm_head", "norm", "embed_tokens"] });
    expect(adapter.isOn).toBe(true);
    for (const part of ["lora_B", "magnitude", "lm_head", "norm", "embed"]) randomize(adapter.params, part);
    const adapted = await logitsOf(on);
    expect(adapted).not.toEqual(before);
    adapter.off();
    expect(adapter.isOn).toBe(false);
    expect(await logitsOf(on)).toEqual(before);
    adapter.on();
    expect(await logitsOf(on)).toEqual(adapted);
    expect(() => attachLora(on)).toThrow("the model has one attached; dispose() it first");
    adapter.dispose();
    adapter.dispose();
    for (const call of [adapter.on, adapter.off, () => adapter.unmerge()])
      expect(call).toThrow(DisposedError);
    expect(await logitsOf(on)).toEqual(before);
    await dev.ready();
    expect(dev.stats()).toMatchObject({ live, bytes });
  }
  attachLora(on).dispose();
});

describe("dropout", () => {
  const options = { targets: ["q_proj", "v_proj", "w1", "w2"], rank: 4, alpha: 8 };
  const attached = (on: Model, dropout?: number, attach = attachLora): Adapter => {
    const adapter = attach(on, { ...options, ...(dropout !== undefined && { dropout }) });
    randomize(adapter.params, "lora_B");
    return adapter;
  };
  const pass = async (on: Model, adapter: Adapter, seed: number, recompute = false): Promise<number[][]> => {
    const { value, grads } = withRandomStreams({ seed, first: 0 }, () =>
      valueAndGrad(adapter.params, () => languageModelLoss(on, batch, { recompute })),
    );
    const all = [value, ...Object.values(grads)].map(async (t) => Array.from(await t.data()));
    const numbers = await Promise.all(all);
    disposeAll(value, grads);
    return numbers;
  };

  test.each([attachLora, attachDora])(
    "seeds decide the masks, recompute draws the same (%o)",
    async (attach) => {
      using on = model("mixtral");
      const plain = attached(on, undefined, attach);
      const without = await pass(on, plain, 1);
      plain.dispose();
      const zero = attached(on, 0, attach);
      expect(await pass(on, zero, 1)).toEqual(without);
      zero.dispose();
      using adapter = attached(on, 0.3, attach);
      const first = await pass(on, adapter, 1);
      expect(await pass(on, adapter, 1)).toEqual(first);
      expect(await pass(on, adapter, 1, true)).toEqual(first);
      expect(await pass(on, adapter, 2)).not.toEqual(first);
      expect(first[0]).not.toEqual(without[0]);
    },
  );

  test("other masks at every step of a run, the same ones in the same run; none without training", async () => {
    using on = model("mixtral");
    using adapter = attached(on, 0.3);
    const losses = async (seed: number): Promise<number[]> => {
      const found: number[] = [];
      const run = { model: on, params: adapter.params, data: [batch], optimizer: sgd({ lr: 0 }), steps: 3 };
      for await (const { loss } of pretrain({ ...run, seed })) found.push(loss);
      return found;
    };
    const first = await losses(1);
    expect(new Set(first).size).toBe(3);
    expect(await losses(1)).toEqual(first);
    expect(await losses(2)).not.toEqual(first);
    const dropping = await logitsOf(on);
    adapter.dispose();
    using _plain = attached(on);
    expect(dropping).toEqual(await logitsOf(on));
  });

  test("the direction of DoRA keeps the undropped product of the base", async () => {
    using on = model("llama");
    const adapter = attachDora(on, { targets: ["down_proj"], dropout: 0.5 });
    for (const [key, tensor] of Object.entries(adapter.params)) {
      if (key.includes("magnitude")) tensor.write((await tensor.data()).map((m) => 2 * m) as Float32Array);
    }
    const trained = await pass(on, adapter, 1);
    adapter.dispose();
    using plain = attachDora(on, { targets: ["down_proj"] });
    for (const [key, tensor] of Object.entries(plain.params)) {
      if (key.includes("magnitude")) tensor.write((await tensor.data()).map((m) => 2 * m) as Float32Array);
    }
    expect(trained[0]).toEqual((await pass(on, plain, 1))[0]); // B = 0: A's input doesn't show
  });
});
