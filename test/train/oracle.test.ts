import path from "node:path";
import { describe, expect, test } from "vitest";
import { loadAdapter } from "../../lib/adapters/peft_format.ts";
import { device } from "../../lib/core/device.ts";
import { loadModel } from "../../lib/models/load.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { evaluateLoss } from "../../lib/train/evaluate.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { oracleFolders } from "../support/golden.ts";
import { expectClose, expectLoss, expectSummaries, readJson, type Summary } from "../support/oracle.ts";
import { testDevice } from "../support/test_device.ts";

interface Run {
  loss: number[];
  ce: number[];
  aux?: number[];
  grad_norm_before_clip: number[];
  lr: number[];
  ce_after_on_batch0: number;
  logits_after_row0_last: number[];
  final_params: Record<string, Summary>;
  adapter: string | null;
  aux_coef: number;
}
interface Accumulation {
  rows: number[][];
  micro_batches: number[][];
  loss: number[];
  grad_norm_before_clip: number[];
  final_params: Record<string, Summary>;
}
interface Train {
  hyper: {
    lr: number;
    beta1: number;
    beta2: number;
    eps: number;
    weight_decay: number;
    clip_grad_norm: number;
  };
  steps: number;
  batches: number[][][];
  runs: Record<string, Run>;
  gradient_accumulation: Record<string, Accumulation>;
}

describe.each(oracleFolders())("training trajectories, float64 reference: %s", (folder) => {
  const train = readJson<Train>(folder, "train.json");
  const { hyper } = train;
  const optimizer = (lr: number | ((updates: number) => number)) =>
    chain(
      clipByGlobalNorm(hyper.clip_grad_norm),
      adamw({ lr, betas: [hyper.beta1, hyper.beta2], eps: hyper.eps, weightDecay: hyper.weight_decay }),
    );

  test.each(Object.keys(train.runs))("%s", async (name) => {
    const run = train.runs[name]!;
    using dev = await device(testDevice, { threads: 2 });
    const model = await loadModel(path.join(folder, "model"), { device: dev });
    const adapter =
      run.adapter === null ? undefined : await loadAdapter(model, path.join(folder, "adapters", run.adapter));
    const params = adapter?.params ?? model.params;
    const data = train.batches.map((rows) => packBatch(rows));
    let k = 0;
    const options = {
      model,
      params,
      data,
      optimizer: optimizer((updates) => run.lr[updates]!),
      steps: train.steps,
    };
    for await (const m of pretrain({ ...options, auxLossCoef: run.aux_coef })) {
      expectLoss(m.loss, run.loss[k]!, `loss ${k}`, 1e-4);
      expect(Math.abs(m.gradNorm / run.grad_norm_before_clip[k]! - 1), `gradient norm ${k}`).toBeLessThan(
        1e-4,
      );
      expect(m.lr).toBe(run.lr[k]);
      expect(m.step).toBe(k + 1);
      if (run.aux) expectLoss(m.auxLoss!, run.aux[k]!, `aux loss ${k}`, 1e-4);
      k++;
    }
    expect(k).toBe(train.steps);
    expectLoss(await evaluateLoss(model, [data[0]!]), run.ce_after_on_batch0, "loss after", 1e-4);
    const logits = model.logits(data[0]!);
    const V = model.config.vocabSize;
    const last = (train.batches[0]![0]!.length - 1) * V;
    expectClose(
      (await logits.data()).slice(last, last + 40),
      run.logits_after_row0_last,
      1e-3,
      "logits after",
    );
    logits.dispose();
    await expectSummaries(params, run.final_params, { norm: 1e-4, proj: 1e-3 });
    adapter?.dispose();
    model.dispose();
    expect(dev.stats().live).toBe(0);
  });

  test.each(Object.keys(train.gradient_accumulation))("gradient accumulation, %s lengths", async (name) => {
    const want = train.gradient_accumulation[name]!;
    const whole = [packBatch(want.rows)];
    const parts = want.micro_batches.map((rows) => packBatch(rows.map((r) => want.rows[r]!)));
    for (const [data, accumulationSteps] of [
      [whole, 1],
      [parts, parts.length],
    ] as const) {
      using dev = await device(testDevice, { threads: 2 });
      using model = await loadModel(path.join(folder, "model"), { device: dev });
      let k = 0;
      for await (const m of pretrain({
        model,
        data,
        optimizer: optimizer(hyper.lr),
        steps: want.loss.length,
        accumulationSteps,
      })) {
        expectLoss(m.loss, want.loss[k]!, `loss ${k}`, 1e-4);
        expect(Math.abs(m.gradNorm / want.grad_norm_before_clip[k]! - 1)).toBeLessThan(1e-4);
        k++;
      }
      await expectSummaries(model.params, want.final_params, { norm: 1e-4, proj: 1e-3 });
    }
  });
});
