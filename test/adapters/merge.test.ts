import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachDora, attachLora } from "../../lib/adapters/attach.ts";
import { mergeAdapter } from "../../lib/adapters/merge.ts";
import { loadAdapter } from "../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, OutOfMemoryError } from "../../lib/core/errors.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { saveModel } from "../../lib/models/save.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { hfTiny, peftTiny } from "../support/fixture.ts";
import { expectClose } from "../support/oracle.ts";
import { tempDir } from "../support/temp_dir.ts";
import { testDevice } from "../support/test_device.ts";
import { families, randomize, tinyModel } from "../support/tiny_model.ts";

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

async function logitsOf(on: Model): Promise<number[]> {
  using logits = on.logits(batch);
  return Array.from(await logits.data());
}

async function bitsOf(on: Model): Promise<Map<string, Uint8Array>> {
  const bits = new Map<string, Uint8Array>();
  for (const [name, tensor] of Object.entries(on.params)) bits.set(name, await tensor.bytesData());
  return bits;
}

const largest = (values: number[]): number => Math.max(...values.map(Math.abs));

describe.each(families)("merging into %s", (family) => {
  test.each(["f32", "bf16"] as const)(
    "%s: the same outputs; unmerge gives the very bits back",
    async (dtype) => {
      for (const attach of [attachLora, attachDora]) {
        using on = tinyModel(family, { device: dev, seed: 2, dtype });
        const [before, bits] = [await logitsOf(on), await bitsOf(on)];
        using adapter = attach(on, {
          targets: "all-linear",
          rank: 3,
          alpha: 6,
          modulesToSave: ["lm_head", "norm"],
        });
        randomize(adapter.params, "lora_B", { scale: 0.05 });
        randomize(adapter.params, "lm_head", { scale: 0.3 });
        const adapted = await logitsOf(on);
        expect(adapted).not.toEqual(before);
        await mergeAdapter(adapter);
        expect(adapter.isMerged).toBe(true);
        // In bf16 the merged weights round once more than the adapter, and a router may choose otherwise.
        if (dtype === "f32") expectClose(await logitsOf(on), adapted, 1e-5 * largest(adapted), "merged");
        else {
          const merged = await logitsOf(on);
          const error = Math.hypot(...merged.map((x, i) => x - adapted[i]!)) / Math.hypot(...adapted);
          expect(error).toBeLessThan(0.1);
        }
        adapter.unmerge();
        expect(await bitsOf(on)).toEqual(bits);
        expect(await logitsOf(on)).toEqual(adapted);
        adapter.off();
        expect(await logitsOf(on)).toEqual(before);
      }
    },
  );
});

test("rows merged by DoRA have the magnitudes as norms", async () => {
  using on = tinyModel("mixtral", { device: dev, seed: 2 });
  using adapter = attachDora(on, { targets: "all-linear", rank: 3 });
  randomize(adapter.params, "lora_B");
  randomize(adapter.params, "magnitude", { scale: 1 }); // negative ones too
  await mergeAdapter(adapter);
  for (const [key, magnitude] of Object.entries(adapter.params)) {
    if (!key.endsWith(".lora_magnitude_vector")) continue;
    const weight = on.params[key.replace("lora_magnitude_vector", "weight")]!;
    const [N = 0, K = 0] = weight.shape;
    const w = await weight.data();
    const norms = Array.from({ length: N }, (_, n) => Math.hypot(...w.slice(n * K, (n + 1) * K)));
    const want = Array.from(await magnitude.data(), Math.abs);
    expectClose(norms, want, 1e-5, key);
  }
});

test("twice, on, off, unmerge and saving at the wrong time are refused", async () => {
  using on = tinyModel("llama", { device: dev });
  const adapter = attachLora(on);
  expect(() => adapter.unmerge()).toThrow("unmerge() without a merge");
  const saving = saveModel(on, tempDir());
  await expect(saving).rejects.toThrow(ConfigError);
  await expect(saving).rejects.toThrow("merge it, save it with saveAdapter, or dispose it");
  await mergeAdapter(adapter);
  await expect(mergeAdapter(adapter)).rejects.toThrow("merged already, unmerge() it first");
  expect(() => adapter.on()).toThrow("on() of a merged adapter");
  expect(() => adapter.off()).toThrow("off() of a merged adapter");
  expect(() => attachLora(on)).toThrow("the model has one attached");
  adapter.dispose();
  attachLora(on).dispose();
});

test.each([attachLora, attachDora])("without memory for it nothing is merged: %o", async (attach) => {
  const families = ["mixtral", "llama"] as const;
  for (const family of families) {
    const sizeOf = async (limit: number) => {
      const tight = await device(testDevice, { threads: 1, memoryLimitBytes: limit });
      const on = tinyModel(family, { device: tight, seed: 2 });
      const adapter = attach(on, { targets: "all-linear", rank: 3, modulesToSave: ["lm_head"] });
      randomize(adapter.params, "lora_B");
      const bits = await bitsOf(on);
      const before = tight.stats();
      const error = await mergeAdapter(adapter).catch((e: unknown) => e);
      const { peakBytes } = tight.stats();
      if (error !== undefined) {
        expect(error).toBeInstanceOf(OutOfMemoryError);
        expect(adapter.isMerged).toBe(false);
        expect(adapter.isOn).toBe(true);
        expect(await bitsOf(on)).toEqual(bits);
      }
      adapter.dispose();
      on.dispose();
      expect(tight.stats().live).toBe(0);
      tight.close();
      return { bytes: before.bytes, peakBytes, failed: error !== undefined };
    };
    const { bytes, peakBytes, failed } = await sizeOf(2 ** 30);
    expect(failed).toBe(false);
    let failures = 0;
    const steps = 24;
    for (let i = 0; i < steps; i++) {
      const run = await sizeOf(Math.ceil(bytes + ((peakBytes - bytes) * i) / steps));
      if (run.failed) failures++;
    }
    expect(failures).toBeGreaterThan(steps / 2);
  }
});

test("a merged model is saved with what was merged, modules trained as a whole too", async () => {
  using on = await loadModel(hfTiny("llama")!, { device: dev });
  const adapter = await loadAdapter(on, peftTiny("lora_bias_modules_llama"));
  const adapted = await logitsOf(on);
  await mergeAdapter(adapter);
  const dir = tempDir();
  await saveModel(on, dir);
  using again = await loadModel(dir, { device: dev });
  expectClose(await logitsOf(again), adapted, 1e-5, "saved");
  adapter.dispose(); // the merge stays
  expectClose(await logitsOf(on), adapted, 1e-5, "after dispose");
});

test("a head of its own on a tied model runs, but doesn't merge", async () => {
  using on = tinyModel("llama", { device: dev }, { tie_word_embeddings: true });
  const before = await logitsOf(on);
  using adapter = attachLora(on, { modulesToSave: ["lm_head"] });
  randomize(adapter.params, "lm_head");
  expect(await logitsOf(on)).not.toEqual(before);
  await expect(mergeAdapter(adapter)).rejects.toThrow("the model ties the two");
  adapter.off();
  expect(await logitsOf(on)).toEqual(before);
});
