import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll, valueAndGrad, withoutGrad } from "../../lib/core/tape.ts";
import { generateBatch } from "../../lib/generate/batch.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { languageModelLoss, lossParts } from "../../lib/train/loss.ts";
import { hfTiny, readTensors, rowsOf, type Tensors, unpadded } from "../support/fixture.ts";
import { expectClose, expectLoss } from "../support/oracle.ts";
import { testDevice } from "../support/test_device.ts";

const kGreedyPrompt = 8;

/** Fused gradients by the names of their parts: experts.gate_up_proj holds, expert by expert, gate rows, then up rows. */
function perExpert(expected: Tensors, names: readonly string[]): Record<string, number[]> {
  const grads: Record<string, number[]> = {};
  for (const [key, { shape, data }] of Object.entries(expected)) {
    if (!key.startsWith("grad.")) continue;
    const fused = /^grad\.(.*)\.(?:mlp|block_sparse_moe)\.experts\.(gate_up|down)_proj$/.exec(key);
    if (!fused) {
      grads[key.slice("grad.".length).replace(/mlp\.gate\.weight$/, routerOf(names))] = data;
      continue;
    }
    const [E = 0, N = 0, K = 0] = shape;
    for (let e = 0; e < E; e++) {
      const at = (part: RegExp) =>
        names.find((n) => n.startsWith(`${fused[1]}.`) && n.includes(`.experts.${e}.`) && part.test(n))!;
      const rows = data.slice(e * N * K, (e + 1) * N * K);
      if (fused[2] === "down") grads[at(/\.(down_proj|w2)\.weight$/)] = rows;
      else {
        grads[at(/\.(gate_proj|w1)\.weight$/)] = rows.slice(0, rows.length / 2);
        grads[at(/\.(up_proj|w3)\.weight$/)] = rows.slice(rows.length / 2);
      }
    }
  }
  return grads;
}

const routerOf = (names: readonly string[]): string =>
  names.some((name) => name.includes("block_sparse_moe"))
    ? "block_sparse_moe.gate.weight"
    : "mlp.gate.weight";

describe.each(["llama", "qwen3", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"])(
  "transformers' %s",
  (family) => {
    const dir = hfTiny(family);
    let dev: Device;
    let model: Model;
    let expected: Tensors;
    beforeAll(async () => {
      if (!dir) return;
      dev = await device(testDevice, { threads: 2 });
      model = await loadModel(dir, { device: dev });
      expected = await readTensors(dir, "expected");
    });
    afterAll(() => {
      if (!dir) return;
      model.dispose();
      expect(dev.stats().live).toBe(0);
      dev.close();
    });

    test.skipIf(!dir)("logits, without padding", async () => {
      const { batch, kept } = unpadded(expected);
      const logits = model.logits(batch);
      expectClose(await logits.data(), rowsOf(expected.logits!, kept), 1e-5, "logits");
      logits.dispose();
    });

    test.skipIf(!dir)("router logits and auxiliary loss", async () => {
      const { batch, kept } = unpadded(expected);
      const { routings } = withoutGrad(() =>
        scope(() => ({ routings: model.forward(model.upload(batch)).routings.map((r) => r.logits) })),
      );
      const wanted = Object.keys(expected).filter((key) => key.startsWith("router_logits."));
      expect(routings.length).toBe(wanted.length);
      for (const [layer, logits] of routings.entries()) {
        expectClose(
          await logits.data(),
          rowsOf(expected[`router_logits.${layer}`]!, kept),
          1e-5,
          `router logits of layer ${layer}`,
        );
      }
      disposeAll(routings);
      if (!expected.aux_loss) return;
      const aux = scope(() => lossParts(model, batch, { auxLossCoef: 1 }).auxLoss!);
      expectLoss(await aux.item(), expected.aux_loss.data[0]!, "aux loss");
      aux.dispose();
    });

    test.skipIf(!dir).each([false, true])("loss and every gradient (recompute %s)", async (recompute) => {
      const { batch } = unpadded(expected);
      const auxLossCoef = expected.aux_loss ? model.config.routerAuxLossCoef : 0;
      const { value, grads } = valueAndGrad(model.params, () =>
        languageModelLoss(model, batch, { auxLossCoef, recompute }),
      );
      expectLoss(await value.item(), expected.loss!.data[0]!, "loss");
      const wanted = perExpert(expected, Object.keys(grads));
      expect(Object.keys(grads).sort()).toEqual(Object.keys(wanted).sort());
      let squares = 0;
      for (const [name, want] of Object.entries(wanted)) {
        const got = Array.from(await grads[name]!.data());
        const largest = Math.max(...want.map(Math.abs));
        expectClose(got, want, Math.max(1e-4 * largest, 1e-7), name);
        squares += got.reduce((sum, x) => sum + x * x, 0);
      }
      expectLoss(Math.sqrt(squares), expected.grad_norm!.data[0]!, "norm of the gradient");
      disposeAll(value, grads);
    });

    test.skipIf(!dir)("greedy ids", async () => {
      const ids = expected.greedy!.data;
      const { tokens } = await generateBatch(model, [ids.slice(0, kGreedyPrompt)], {
        temperature: 0,
        maxNewTokens: ids.length - kGreedyPrompt,
      });
      expect(tokens[0]).toEqual(ids.slice(kGreedyPrompt));
    });
  },
);
