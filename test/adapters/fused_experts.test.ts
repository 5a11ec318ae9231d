import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FusedPair, fromPeft, toPeft } from "../../lib/adapters/fused_experts.ts";
import { loadAdapter, saveAdapter } from "../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { type AdapterFolder, changedAdapter, readAdapter, writeAdapter } from "../support/adapter_folder.ts";
import { hfTiny, peftTiny, type Tensors } from "../support/fixture.ts";
import { expectClose } from "../support/oracle.ts";
import { tempDir } from "../support/temp_dir.ts";
import { testDevice } from "../support/test_device.ts";
import { tinyModel } from "../support/tiny_model.ts";

const kFixture = peftTiny("lora_mixtral_experts");
const batch = packBatch([[1, 5, 9, 2, 30, 7, 11, 3, 8]]);
let dev: Device;
let model: Model;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
  model = await loadModel(hfTiny("mixtral")!, { device: dev });
});
afterAll(() => {
  model.dispose();
  expect(dev.stats().live).toBe(0);
  dev.close();
});

async function logitsWith(dir: string, on: Model = model): Promise<number[]> {
  using _adapter = await loadAdapter(on, dir);
  using logits = on.logits(batch);
  return Array.from(await logits.data());
}

/** Every tensor pair of fused experts in a folder: its A and its B. */
const fusedPairs = ({ tensors }: AdapterFolder): [string, string][] =>
  Object.keys(tensors)
    .filter((name) => /experts\..*lora_A/.test(name))
    .map((a) => [a, a.replace("lora_A", "lora_B")]);

/** A and B as PEFT wrote them before 0.19.1: Δᵀ of each expert is a product, of Bᵀ and Aᵀ. */
function toOldEra(folder: AdapterFolder, E: number): void {
  folder.config.peft_version = "0.18.1";
  for (const [nameA, nameB] of fusedPairs(folder)) {
    const { [nameA]: A, [nameB]: B } = folder.tensors as Record<string, Tensors[string]>;
    const [rE = 0, into = 0] = A!.shape;
    const out = B!.shape[0]!;
    const r = rE / E;
    const oldA = { shape: [rE, out], data: Array<number>(rE * out) };
    const oldB = { shape: [into, rE], data: Array<number>(rE * into) };
    for (let e = 0; e < E; e++) {
      for (let k = 0; k < r; k++) {
        for (let o = 0; o < out; o++) oldA.data[(e * r + k) * out + o] = B!.data[o * rE + k * E + e]!;
        for (let i = 0; i < into; i++) oldB.data[i * rE + k * E + e] = A!.data[(e * r + k) * into + i]!;
      }
    }
    Object.assign(folder.tensors, { [nameA]: oldA, [nameB]: oldB });
  }
}

test("loaded and saved: the same names, shapes and numbers, for every adapter of PEFT's", async () => {
  for (const [name, base] of [
    ["lora_mixtral_experts", "mixtral"],
    ["lora_mixtral_attn", "mixtral"],
    ["dora_llama", "llama"],
    ["lora_bias_modules_llama", "llama"],
    ["lora_olmoe_attn_dora", "olmoe"],
    ["rslora_llama", "llama"],
  ] as const) {
    using own = await loadModel(hfTiny(base)!, { device: dev });
    using adapter = await loadAdapter(own, peftTiny(name));
    const dir = tempDir();
    await saveAdapter(adapter, dir);
    const [saved, original] = await Promise.all([readAdapter(dir), readAdapter(peftTiny(name))]);
    expect(saved.tensors).toEqual(original.tensors);
    for (const [key, value] of Object.entries(saved.config)) {
      if (!["base_model_name_or_path", "peft_version", "target_parameters"].includes(key))
        expect(value, key).toEqual(original.config[key]);
    }
    expect(saved.config.target_parameters ?? []).toEqual(original.config.target_parameters ?? []);
    expect(saved.config.peft_version ?? "").toBe(adapter.fused.length > 0 ? "0.19.1" : "");
  }
});

describe("the layout before PEFT 0.19.1", () => {
  test("told by its shapes, it gives the same logits", async () => {
    const old = await changedAdapter(kFixture, (folder) => toOldEra(folder, 4));
    expectClose(await logitsWith(old), await logitsWith(kFixture), 1e-6, "logits");
    expect((await readAdapter(old)).tensors).not.toEqual((await readAdapter(kFixture)).tensors);
    const wrongVersion = await changedAdapter(old, ({ config }) => {
      config.peft_version = "0.21.0";
    });
    expect(await logitsWith(wrongVersion)).toEqual(await logitsWith(old));
  });

  test("where experts are square, by peft_version", async () => {
    using square = tinyModel("mixtral", { device: dev }, { intermediate_size: 16 });
    const random = new Random(3);
    const tensors: Tensors = {};
    for (const layer of [0, 1]) {
      const at = `base_model.model.model.layers.${layer}.mlp.experts`;
      for (const kind of ["lora_A", "lora_B"] as const) {
        const shape = kind === "lora_A" ? [8, 16] : [16, 8];
        tensors[`${at}.${kind}.weight`] = {
          shape,
          data: Array.from({ length: 128 }, () => 0.3 * random.normal()),
        };
      }
    }
    const config = {
      peft_type: "LORA",
      r: 2,
      lora_alpha: 4,
      target_modules: [],
      target_parameters: ["mlp.experts.down_proj"],
      peft_version: "0.19.1",
    };
    const current = await writeAdapter({ config, tensors });
    const want = await logitsWith(current, square);
    const old = await changedAdapter(current, (folder) => toOldEra(folder, 4));
    expectClose(await logitsWith(old, square), want, 1e-6, "logits");
    for (const [version, isCurrent] of [
      ["0.20.0", true],
      ["1.0.0", true],
      ["0.19.0", false],
      ["0.17.1", false],
      [undefined, false],
    ] as const) {
      const dir = await changedAdapter(current, (folder) => {
        folder.config.peft_version = version;
      });
      const got = await logitsWith(dir, square);
      const difference = Math.max(...got.map((x, i) => Math.abs(x - want[i]!)));
      if (isCurrent) expect(difference, version).toBe(0);
      else expect(difference, version).toBeGreaterThan(1e-3);
    }
  });
});

test("the columns of B are rank-major, the rows of A expert-major", () => {
  const [E, r, into, out] = [3, 2, 5, 4] as const;
  const random = new Random(7);
  const draw = (n: number) => Float32Array.from({ length: n }, () => random.normal());
  const [A, B] = [draw(E * r * into), draw(out * r * E)];
  const shapes = { a: { shape: [E, r, into] }, b: { shape: [1, E, out, r] } };
  const pair = { path: "", ...shapes } as unknown as FusedPair;
  const ours = fromPeft(A, B, pair);
  expect(toPeft(ours.b, pair)).toEqual(B);
  const delta = (e: number, column: (k: number) => number): number[] =>
    Array.from({ length: out * into }, (_, at) => {
      const [o, i] = [Math.floor(at / into), at % into];
      let sum = 0;
      for (let k = 0; k < r; k++) sum += B[o * r * E + column(k)]! * A[(e * r + k) * into + i]!;
      return sum;
    });
  for (let e = 0; e < E; e++) {
    const got = Array.from({ length: out * into }, (_, at) => {
      const [o, i] = [Math.floor(at / into), at % into];
      let sum = 0;
      for (let k = 0; k < r; k++) sum += ours.b[(e * out + o) * r + k]! * ours.a[(e * r + k) * into + i]!;
      return sum;
    });
    expectClose(
      got,
      delta(e, (k) => k * E + e),
      1e-6,
      `expert ${e}`,
    );
    const expertMajor = delta(e, (k) => e * r + k);
    if (e > 0) expect(Math.max(...got.map((x, i) => Math.abs(x - expertMajor[i]!)))).toBeGreaterThan(0.1);
  }
});

/** Leaves the projections that `keep` doesn't name without effect. */
const silence = (folder: AdapterFolder, part: RegExp): void => {
  for (const [name, tensor] of Object.entries(folder.tensors))
    if (part.test(name) && name.includes("lora_B")) tensor.data.fill(0);
};

test("one parameter alone takes the outer name", async () => {
  for (const [only, silent] of [
    ["down_proj", /base_layer/],
    ["gate_up_proj", /experts\.lora/],
  ] as const) {
    const both = await changedAdapter(kFixture, (folder) => silence(folder, silent));
    const alone = await changedAdapter(kFixture, (folder) => {
      folder.config.target_parameters = [`mlp.experts.${only}`];
      for (const name of Object.keys(folder.tensors)) {
        if (!silent.test(name)) continue;
        delete folder.tensors[name];
      }
      for (const [name, tensor] of Object.entries(folder.tensors)) {
        delete folder.tensors[name];
        folder.tensors[name.replace(".base_layer", "")] = tensor;
      }
    });
    expectClose(await logitsWith(alone), await logitsWith(both), 1e-6, only);
  }
});

test("a parameter can be named with its layer, and have a rank and alpha of its own", async () => {
  const layer0 = await changedAdapter(kFixture, ({ config, tensors }) => {
    config.target_parameters = ["model.layers.0.mlp.experts.gate_up_proj", "mlp.experts.down_proj"];
    for (const name of Object.keys(tensors)) {
      if (name.includes("layers.1") && name.includes("base_layer")) delete tensors[name];
    }
  });
  const silent = await changedAdapter(kFixture, (folder) => silence(folder, /layers\.1.*base_layer/));
  expectClose(await logitsWith(layer0), await logitsWith(silent), 1e-6, "one layer");

  // Two more ranks that are zero, and alpha doubled, are the same update.
  const wider = await changedAdapter(kFixture, (folder) => {
    folder.config.rank_pattern = { down_proj: 4 };
    folder.config.alpha_pattern = { "experts.down_proj": 8 };
    for (const [nameA, nameB] of fusedPairs(folder)) {
      if (nameA.includes("base_layer")) continue;
      const { [nameA]: A, [nameB]: B } = folder.tensors as Record<string, Tensors[string]>;
      const [E, r, into, out] = [4, 2, A!.shape[1]!, B!.shape[0]!];
      const wideA = Array<number>(2 * A!.data.length).fill(0);
      const wideB = Array<number>(2 * B!.data.length).fill(0);
      for (let e = 0; e < E; e++) {
        for (let k = 0; k < r; k++) {
          for (let i = 0; i < into; i++) wideA[(e * 2 * r + k) * into + i] = A!.data[(e * r + k) * into + i]!;
          for (let o = 0; o < out; o++) wideB[o * 2 * r * E + k * E + e] = B!.data[o * r * E + k * E + e]!;
        }
      }
      folder.tensors[nameA] = { shape: [2 * r * E, into], data: wideA };
      folder.tensors[nameB] = { shape: [out, 2 * r * E], data: wideB };
    }
  });
  expectClose(await logitsWith(wider), await logitsWith(kFixture), 1e-6, "wider");
});

test("what target_parameters can't have is refused by name", async () => {
  const { live } = dev.stats();
  const refused = async (change: Record<string, unknown>, on: Model, message: string): Promise<void> => {
    const dir = await changedAdapter(kFixture, ({ config }) => void Object.assign(config, change));
    const loading = loadAdapter(on, dir);
    await expect(loading).rejects.toThrow(ConfigError);
    await expect(loading).rejects.toThrow(message);
  };
  await refused(
    { target_parameters: ["mlp.experts.gate_proj"] },
    model,
    "has mlp.experts.gate_proj; this model has mlp.experts.gate_up_proj and mlp.experts.down_proj",
  );
  await refused({ use_dora: true }, model, "target_parameters with DoRA");
  await refused({ lora_dropout: 0.1 }, model, "or dropout");
  using dense = await loadModel(hfTiny("llama")!, { device: dev });
  await refused({}, dense, "this model has no experts");
  dense.dispose();
  expect(dev.stats().live).toBe(live);
});
