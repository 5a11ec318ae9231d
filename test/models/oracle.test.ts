import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { packBatch, positionsOf, type TokenBatch, targetCount } from "../../lib/text/token_batch.ts";
import { languageModelLoss, lossParts } from "../../lib/train/loss.ts";
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
  grads: Record<string, Summary>;
  grad_total_norm: number;
  router?: { layer: number; experts: number[][]; weights: number[][] };
  aux_loss?: number;
  "with_aux_0.01"?: { loss: number; grads: Record<string, Summary>; grad_total_norm: number };
}

interface Expected {
  vocab_size: number;
  forward: Forward[];
  padded: {
    input_ids: number[][];
    attention_mask: number[][];
    ce: number;
    n_targets: number;
    logits_last_real: number[][];
    grad_total_norm: number;
    aux_loss?: number;
    "with_aux_0.01"?: { loss: number; grad_total_norm: number };
  };
  packed: {
    input_ids: number[][];
    doc_lengths: number[];
    position_ids: number[][];
    n_targets: number;
    ce: number;
    logits_doc_end: number[][];
    grads: Record<string, Summary>;
    grad_total_norm: number;
    aux_loss?: number;
  };
}

describe.each(oracleFolders())("float64 reference: %s", (folder) => {
  const expected = readJson<Expected>(folder, "expected.json");
  let dev: Device;
  let model: Model;
  const V = expected.vocab_size;
  beforeAll(async () => {
    dev = await device(testDevice, { threads: 2 });
    model = await loadModel(path.join(folder, "model"), { device: dev });
  });
  afterAll(() => {
    model.dispose();
    expect(dev.stats().live).toBe(0);
    dev.close();
  });
  const row = (logits: ArrayLike<number>, t: number) =>
    Array.prototype.slice.call(logits, t * V, (t + 1) * V) as number[];

  async function expectAux(batch: TokenBatch, want: number): Promise<void> {
    const aux = scope(() => lossParts(model, batch, { auxLossCoef: 1 }).auxLoss!);
    expectLoss(await aux.item(), want, "aux loss");
    aux.dispose();
  }

  async function expectPass(
    batch: TokenBatch,
    want: { loss: number; grad_total_norm: number },
    auxLossCoef = 0,
  ): Promise<void> {
    const { value, grads } = valueAndGrad(model.params, () =>
      languageModelLoss(model, batch, { auxLossCoef }),
    );
    expectLoss(await value.item(), want.loss, "loss");
    await expectTotalNorm(grads, want.grad_total_norm);
    disposeAll(value, grads);
  }

  test.each(expected.forward.map((f, i) => [i, f] as const))(
    "sequence %i: logits, loss, gradients",
    async (_, want) => {
      const batch = packBatch([want.ids]);
      const logits = model.logits(batch);
      const values = await logits.data();
      expectClose(row(values, want.ids.length - 1), want.logits_last, 1e-4, "last logits");
      expectClose(row(values, 3), want.logits_pos3, 1e-4, "logits at 3");
      const { value, grads } = valueAndGrad(model.params, () => languageModelLoss(model, batch));
      expectLoss(await value.item(), want.ce, "loss");
      await expectSummaries(grads, want.grads);
      await expectTotalNorm(grads, want.grad_total_norm);
      disposeAll(logits, value, grads);
    },
  );

  test("routing and auxiliary loss", async () => {
    for (const want of expected.forward) {
      if (!want.router) continue;
      const batch = packBatch([want.ids]);
      const routing = model.routing(batch);
      const { experts, weights } = routing[0]!;
      const e = await experts.data();
      const w = await weights.data();
      const K = experts.shape[1]!;
      want.router.experts.forEach((wanted, t) => {
        const pairs = [...wanted.keys()]
          .map((k) => [e[t * K + k]!, w[t * K + k]!] as const)
          .sort((a, b) => a[0] - b[0]);
        expect(pairs.map((p) => p[0])).toEqual(wanted);
        expectClose(
          pairs.map((p) => p[1]),
          want.router!.weights[t]!,
          1e-5,
          "gate weights",
        );
      });
      disposeAll(routing);
      if (want.aux_loss !== undefined) {
        await expectAux(batch, want.aux_loss);
      }
      const withAux = want["with_aux_0.01"];
      if (withAux) {
        const { value, grads } = valueAndGrad(model.params, () =>
          languageModelLoss(model, batch, { auxLossCoef: 0.01 }),
        );
        expectLoss(await value.item(), withAux.loss, "loss with aux");
        await expectSummaries(grads, withAux.grads);
        await expectTotalNorm(grads, withAux.grad_total_norm);
        disposeAll(value, grads);
      }
    }
  });

  test("a padded batch equals its rows without padding", async () => {
    const { padded } = expected;
    const documents = padded.input_ids.map((ids, i) =>
      ids.filter((_, t) => padded.attention_mask[i]![t] === 1),
    );
    const batch = packBatch(documents);
    const logits = model.logits(batch);
    const values = await logits.data();
    documents.forEach((_, d) => {
      expectClose(row(values, batch.offsets[d + 1]! - 1), padded.logits_last_real[d]!, 1e-4, `row ${d}`);
    });
    expect(targetCount(batch)).toBe(padded.n_targets);
    await expectPass(batch, { loss: padded.ce, grad_total_norm: padded.grad_total_norm });
    if (padded.aux_loss !== undefined) await expectAux(batch, padded.aux_loss);
    const withAux = padded["with_aux_0.01"];
    if (withAux) await expectPass(batch, withAux, 0.01);
    logits.dispose();
  });

  test("packed documents don't see each other; recompute gives the same bits", async () => {
    const { packed } = expected;
    const ends = packed.doc_lengths.map((_, d) => packed.doc_lengths.slice(0, d + 1).reduce((a, b) => a + b));
    const batch = packBatch(
      ends.map((end, d) => packed.input_ids[0]!.slice(end - packed.doc_lengths[d]!, end)),
    );
    const logits = model.logits(batch);
    const values = await logits.data();
    packed.logits_doc_end.forEach((want, d) => {
      expectClose(row(values, batch.offsets[d + 1]! - 1), want, 1e-4, `document ${d}`);
    });
    expect(targetCount(batch)).toBe(packed.n_targets);
    expect([...positionsOf(batch)]).toEqual(packed.position_ids[0]);
    if (packed.aux_loss !== undefined) await expectAux(batch, packed.aux_loss);
    const plain = valueAndGrad(model.params, () => languageModelLoss(model, batch));
    expectLoss(await plain.value.item(), packed.ce, "loss");
    await expectSummaries(plain.grads, packed.grads);
    await expectTotalNorm(plain.grads, packed.grad_total_norm);
    const again = valueAndGrad(model.params, () => languageModelLoss(model, batch, { recompute: true }));
    for (const [name, grad] of Object.entries(plain.grads)) {
      expect(await again.grads[name]!.data(), name).toEqual(await grad.data());
    }
    disposeAll(logits, plain, again);
  });
});
