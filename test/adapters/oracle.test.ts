import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mergeAdapter } from "../../lib/adapters/merge.ts";
import { loadAdapter, saveAdapter } from "../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { languageModelLoss } from "../../lib/train/loss.ts";
import { oracleFolders } from "../support/golden.ts";
import {
  expectClose,
  expectLoss,
  expectSummaries,
  expectTotalNorm,
  readJson,
  type Summary,
} from "../support/oracle.ts";
import { testDevice } from "../support/test_device.ts";

interface Forward {
  ids: number[];
  ce: number;
  logits_last: number[];
  logits_pos3: number[];
  grads?: Record<string, Summary>;
  grad_total_norm?: number;
}
interface Expected {
  vocab_size: number;
  forward: Forward[];
  adapters: Record<
    string,
    { forward: Forward[]; merged_weights: Record<string, Summary>; n_trainable: number; n_modules: number }
  >;
}

const cases = oracleFolders().flatMap((folder) =>
  readdirSync(path.join(folder, "adapters")).map((name) => [path.basename(folder), name, folder] as const),
);

describe.each(cases)("%s, adapter %s", (_, name, folder) => {
  const expected = readJson<Expected>(folder, "expected.json");
  const { merged_weights, n_trainable, n_modules, ...rest } = expected.adapters[name]!;
  const forward = rest.forward.map((f, i) => ({ ...f, ids: expected.forward[i]!.ids }));
  const V = expected.vocab_size;
  let dev: Device;
  let model: Model;
  beforeAll(async () => {
    dev = await device(testDevice, { threads: 2 });
    model = await loadModel(path.join(folder, "model"), { device: dev });
  });
  afterAll(() => {
    model.dispose();
    expect(dev.stats().live).toBe(0);
    dev.close();
  });

  async function expectLogits(forward: Forward[]): Promise<void> {
    for (const f of forward) {
      const batch = packBatch([f.ids]);
      const logits = model.logits(batch);
      const values = await logits.data();
      const row = (t: number) => values.slice(t * V, (t + 1) * V);
      expectClose(row(f.ids.length - 1), f.logits_last, 1e-4, "last logits");
      expectClose(row(3), f.logits_pos3, 1e-4, "logits at 3");
      logits.dispose();
    }
  }

  test("logits, gradients, on and off, merge and unmerge", async () => {
    const before = await model.params["model.layers.0.self_attn.q_proj.weight"]!.data();
    const adapter = await loadAdapter(model, path.join(folder, "adapters", name));
    const trainable = Object.values(adapter.params).reduce((n, t) => n + t.size, 0);
    expect(trainable).toBe(n_trainable);
    expect(Object.keys(adapter.params).filter((key) => key.endsWith("lora_A.weight")).length).toBe(n_modules);
    await expectLogits(forward);
    for (const f of forward) {
      const { value, grads } = valueAndGrad(adapter.params, () =>
        languageModelLoss(model, packBatch([f.ids])),
      );
      expectLoss(await value.item(), f.ce, "loss");
      if (f.grads) await expectSummaries(grads, f.grads);
      if (f.grad_total_norm !== undefined) await expectTotalNorm(grads, f.grad_total_norm);
      disposeAll(value, grads);
    }
    adapter.off();
    await expectLogits(expected.forward);
    adapter.on();
    await mergeAdapter(adapter);
    await expectLogits(forward);
    await expectSummaries(model.params, merged_weights);
    adapter.unmerge();
    expect(await model.params["model.layers.0.self_attn.q_proj.weight"]!.data()).toEqual(before);
    await expectLogits(forward);
    adapter.dispose();
    await expectLogits(expected.forward);
  });

  test("saved as PEFT writes it", async () => {
    const dir = await mkdtemp(path.join(tmpdir(), "mixwright-adapter-"));
    try {
      const source = path.join(folder, "adapters", name);
      using adapter = await loadAdapter(model, source);
      await saveAdapter(adapter, dir);
      const [a, b] = await Promise.all(
        [source, dir].map((d) => openSafetensors(path.join(d, "adapter_model.safetensors"))),
      );
      expect([...b!.tensors.keys()].sort()).toEqual([...a!.tensors.keys()].sort());
      for (const key of a!.tensors.keys()) expect(await b!.read(key), key).toEqual(await a!.read(key));
      await Promise.all([a!.close(), b!.close()]);
      const json = readJson<Record<string, unknown>>(dir, "adapter_config.json");
      const original = readJson<Record<string, unknown>>(source, "adapter_config.json");
      for (const key of [
        "r",
        "lora_alpha",
        "target_modules",
        "use_dora",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "peft_type",
      ]) {
        expect(json[key], key).toEqual(original[key]);
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
