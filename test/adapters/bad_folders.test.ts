import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { loadAdapter } from "../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { type AdapterFolder, changedAdapter } from "../support/adapter_folder.ts";
import { hfTiny, peftTiny } from "../support/fixture.ts";
import { tinyModel } from "../support/tiny_model.ts";

let dev: Device;
let model: Model;
let live: number;
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
  model = await loadModel(hfTiny("llama")!, { device: dev });
  live = dev.stats().live;
});
afterEach(async () => {
  await dev.ready();
  expect(model.adapter).toBeUndefined();
  expect(dev.stats().live).toBe(live);
});
afterAll(() => {
  model.dispose();
  dev.close();
});

async function refused(
  dir: string,
  kind: typeof ConfigError | typeof FormatError,
  message: string,
  on: Model = model,
): Promise<void> {
  const loading = loadAdapter(on, dir);
  await expect(loading).rejects.toThrow(kind);
  await expect(loading).rejects.toThrow(message);
}

const changed = (change: (folder: AdapterFolder) => void): Promise<string> =>
  changedAdapter(peftTiny("dora_llama"), change);

const kSome = "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight";

test("tensors that are missing, left over or of another shape", async () => {
  const missing = await changed(({ tensors }) => {
    delete tensors[kSome];
  });
  await refused(missing, FormatError, `lacks ${kSome} (1 missing, 0 left over of 24)`);
  const renamed = await changed(({ tensors }) => {
    for (const name of Object.keys(tensors).filter((name) => name.includes("magnitude"))) {
      tensors[`${name}.weight`] = tensors[name]!;
      delete tensors[name];
    }
  });
  await refused(renamed, FormatError, "lora_magnitude_vector (8 missing, 8 left over of 24)");
  const extra = await changed(({ tensors }) => {
    tensors["base_model.model.model.layers.1.mlp.gate_proj.lora_B.weight"] = tensors[kSome]!;
  });
  await refused(extra, FormatError, "holds base_model.model.model.layers.1.mlp.gate_proj.lora_B.weight");
  const turned = await changed(({ tensors }) => {
    const { shape, data } = tensors[kSome]!;
    tensors[kSome] = { shape: shape.toReversed(), data };
  });
  await refused(
    turned,
    FormatError,
    "up_proj.lora_B.weight is [4, 56], the model and the config ask for [56, 4]",
  );
  const plain = await changed(({ config }) => {
    config.use_dora = false; // DoRA must not be swallowed
  });
  await refused(plain, FormatError, "lora_magnitude_vector, which its config has no place for");
  const experts = await changedAdapter(peftTiny("lora_mixtral_experts"), ({ tensors }) => {
    for (const [name, { data, shape }] of Object.entries(tensors))
      if (name.includes("experts.lora_B")) tensors[name] = { data: data.slice(8), shape: [shape[0]! - 1, 8] };
  });
  using mixtral = await loadModel(hfTiny("mixtral")!, { device: dev });
  await refused(experts, FormatError, "lora_B.weight is [31, 8]", mixtral);
});

test("a model of another size or kind", async () => {
  const dir = peftTiny("dora_llama");
  using small = tinyModel("llama", { device: dev });
  await refused(dir, FormatError, "the model and the config ask for", small);
  using shallow = tinyModel("llama", { device: dev }, { num_hidden_layers: 1 });
  await refused(dir, FormatError, "(0 missing, 12 left over of 12)", shallow);
  using sparse = tinyModel("mixtral", { device: dev });
  await refused(dir, ConfigError, "no layer is called", sparse);
});

test.each([
  ["peft_type", "LOHA"],
  ["bias", "all"],
  ["bias", "lora_only"],
  ["fan_in_fan_out", true],
  ["lora_bias", true],
  ["layer_replication", [[0, 2]]],
  ["layers_pattern", "blocks"],
  ["trainable_token_indices", [1, 2]],
  ["alora_invocation_tokens", [5]],
  ["use_qalora", true],
  ["init_lora_weights", "pissa"],
  ["init_lora_weights", "pissa_niter_4"],
  ["init_lora_weights", "olora"],
  ["init_lora_weights", "loftq"],
  ["init_lora_weights", "corda"],
])("the setting %s %j is refused by name", async (key, value) => {
  const dir = await changed(({ config }) => {
    config[key] = value;
  });
  await refused(dir, ConfigError, `says ${key} ${JSON.stringify(value)}`);
});

test.each([
  ["r", "8", 'says r "8", a number was needed'],
  ["r", 0, "rank is 0"],
  ["lora_dropout", 2, "dropout is 2"],
  ["rank_pattern", { q_proj: "4" }, "rank_pattern is"],
  ["target_modules", 5, "target_modules is 5"],
  ["target_modules", ["w1"], "no layer is called w1; this model has q_proj, k_proj"],
  ["target_modules", null, "targets"],
  ["layers_to_transform", [7], "layers has 7"],
  ["modules_to_save", ["score"], 'modulesToSave names "score", which no module'],
] as const)("the setting %s %j makes no sense", async (key, value, message) => {
  const dir = await changed(({ config }) => {
    config[key] = value;
  });
  await refused(dir, ConfigError, message);
});

test("files that are missing or broken", async () => {
  const without = async (file: string): Promise<string> => {
    const dir = await changed(() => undefined);
    rmSync(path.join(dir, file));
    return dir;
  };
  await refused(await without("adapter_config.json"), FormatError, "a PEFT adapter folder was needed");
  await refused(await without("adapter_model.safetensors"), FormatError, "adapter_model");
  await refused("/nowhere", FormatError, "a PEFT adapter folder was needed");
  for (const text of ["[]", "{"]) {
    const dir = await changed(() => undefined);
    writeFileSync(path.join(dir, "adapter_config.json"), text);
    await refused(dir, FormatError, "adapter_config.json");
  }
});
