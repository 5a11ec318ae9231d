import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toPeft } from "../../lib/adapters/fused_experts.ts";
import { mergeAdapter } from "../../lib/adapters/merge.ts";
import { loadAdapter } from "../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import type { TokenBatch } from "../../lib/text/token_batch.ts";
import { languageModelLoss } from "../../lib/train/loss.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { hfTiny, peftTiny, readTensors, rowsOf, type Tensors, unpadded } from "../support/fixture.ts";
import { expectClose, expectLoss, readJson } from "../support/oracle.ts";
import { testDevice } from "../support/test_device.ts";

interface Trace {
  loss: number[];
  grad_norm: number[];
  lr: number[];
  config: { betas: [number, number]; eps: number; weight_decay_2d: number; clip: number; steps: number };
}

const bases = {
  lora_llama: "llama",
  rslora_llama: "llama",
  dora_llama: "llama",
  lora_bias_modules_llama: "llama",
  lora_mixtral_attn: "mixtral",
  lora_mixtral_experts: "mixtral",
  lora_olmoe_attn_dora: "olmoe",
} as const;

/** Our key for the name of a parameter inside PEFT. */
const keyOf = (name: string): string =>
  name
    .replace(/^grad\./, "")
    .replace(/magnitude_vector\.default\.weight$/, "magnitude_vector")
    .replace(".modules_to_save.default", "")
    .replace(".default", "");

const auxLossCoefOf = ({ config }: Model): number => (config.numExperts > 0 ? config.routerAuxLossCoef : 0);

describe.each(Object.entries(bases))("PEFT's %s on %s", (name, base) => {
  const dir = peftTiny(name);
  let dev: Device;
  let model: Model;
  let expected: Tensors;
  let batch: TokenBatch;
  let kept: number[];
  beforeAll(async () => {
    dev = await device(testDevice, { threads: 2 });
    model = await loadModel(hfTiny(base)!, { device: dev });
    expected = await readTensors(dir, "expected");
    ({ batch, kept } = unpadded(await readTensors(hfTiny(base)!, "expected")));
  });
  afterAll(() => {
    model.dispose();
    expect(dev.stats().live).toBe(0);
    dev.close();
  });

  async function expectLogits(want: Tensors[string]): Promise<void> {
    using logits = model.logits(batch);
    expectClose(await logits.data(), rowsOf(want, kept), 2e-5, "logits");
  }

  test("logits, loss, every gradient, merged logits", async () => {
    using adapter = await loadAdapter(model, dir);
    await expectLogits(expected.logits!);
    const { value, grads } = valueAndGrad(adapter.params, () =>
      languageModelLoss(model, batch, { auxLossCoef: auxLossCoefOf(model) }),
    );
    expectLoss(await value.item(), expected.loss!.data[0]!, "loss");
    const wanted = Object.entries(expected).filter(([key]) => key.startsWith("grad."));
    expect(wanted.map(([key]) => keyOf(key)).sort()).toEqual(Object.keys(grads).sort());
    for (const [key, { data: want }] of wanted) {
      const pair = adapter.fused.find(({ b }) => b === adapter.params[keyOf(key)]);
      const data = (await grads[keyOf(key)]!.data()) as Float32Array;
      const largest = Math.max(...want.map(Math.abs));
      expectClose(pair ? toPeft(data, pair) : data, want, Math.max(1e-4 * largest, 1e-7), key);
    }
    disposeAll(value, grads);
    if (adapter.saved.length > 0) return; // a merge with modules_to_save can't be taken apart again
    await mergeAdapter(adapter);
    await expectLogits(expected.merged_logits!);
    adapter.unmerge();
  });
});

const traces = readJson<Record<string, Trace>>(peftTiny("train_traces.json"));
const families = ["llama", "mixtral", "olmoe", "qwen2_moe"];
const runs = [
  ...families.map((family) => [`full_${family}`, family, undefined] as const),
  ...(["lora_llama", "dora_llama", "lora_mixtral_attn"] as const).map(
    (name) => [name, bases[name], name] as const,
  ),
];

test.each(runs)("20 steps of AdamW: %s", async (name, base, adapterName) => {
  const { loss, grad_norm, lr, config } = traces[name]!;
  using dev = await device(testDevice, { threads: 2 });
  using model = await loadModel(hfTiny(base)!, { device: dev });
  const adapter = adapterName && (await loadAdapter(model, peftTiny(adapterName)));
  const params: Record<string, Tensor> = adapter ? adapter.params : model.params;
  const { batch } = unpadded(await readTensors(hfTiny(base)!, "expected"));
  const optimizer = chain(
    clipByGlobalNorm(config.clip),
    adamw({
      lr: (updates) => lr[updates]!,
      betas: config.betas,
      eps: config.eps,
      weightDecay: config.weight_decay_2d,
      decay: (_, shape) => shape.length > 1,
    }),
  );
  const options = { model, params, data: [batch], optimizer, steps: config.steps };
  for await (const m of pretrain({ ...options, auxLossCoef: auxLossCoefOf(model) })) {
    const k = m.step - 1;
    expectLoss(m.loss, loss[k]!, `loss ${k}`, 1e-4);
    expect(Math.abs(m.gradNorm / grad_norm[k]! - 1), `gradient norm ${k}`).toBeLessThan(1e-3);
    expect(m.lr).toBe(lr[k]);
  }
  if (!adapter) return;
  const after = await readTensors(peftTiny(adapterName), "after_trace");
  for (const [key, { data }] of Object.entries(after)) {
    expectClose(await params[keyOf(key)]!.data(), data, 1e-4, key);
  }
  adapter.dispose();
});
