import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { attachDora } from "../../lib/adapters/attach.ts";
import { LowRank } from "../../lib/adapters/low_rank.ts";
import { mergedWeight } from "../../lib/adapters/merge.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { native } from "../../lib/core/native.ts";
import { Random } from "../../lib/core/random.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { Linear } from "../../lib/nn/linear.ts";
import { segmentSum } from "../../lib/ops/segment_sum.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { languageModelLoss } from "../../lib/train/loss.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { expectClose } from "../support/oracle.ts";
import { testDevice } from "../support/test_device.ts";
import { randomize, tinyModel } from "../support/tiny_model.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
});
afterEach(() => {
  vi.restoreAllMocks();
  expect(dev.stats().live).toBe(0);
});
afterAll(() => dev.close());

/** The layer of algorithms.md §4.2, W = [[3, 4], [0, 2]], A = [[1, 1]], B = [[0.1], [0.5]], s = 2, at W's magnitudes. */
function handLayer({ factor = 1, bias = undefined as readonly number[] | undefined, b = [0.1, 0.5] } = {}) {
  const tensor = (values: readonly number[], ...shape: number[]) =>
    dev.tensor(
      values.map((x) => factor * x),
      shape,
    );
  const weight = tensor([3, 4, 0, 2], 2, 2);
  const layer = new Linear(["hand"], weight, bias && dev.tensor(bias, [bias.length]));
  const parts = { a: dev.tensor([1, 1], [1, 2]), b: tensor(b, 2, 1), magnitude: dev.tensor([5, 2], [2]) };
  const low = new LowRank(layer, { ...parts, scaling: 2, dropout: 0 });
  layer.adapter = low;
  const dispose = () => {
    low.dispose();
    disposeAll(weight, layer.bias, parts);
  };
  return { layer, low, parts, dispose };
}

const numbers = async (tensor: Tensor): Promise<number[]> => Array.from(await tensor.data());

describe("a layer by hand", () => {
  test("output, norms, merged weight, gradient of the magnitude", async () => {
    const { layer, low, parts, dispose } = handLayer();
    const x = dev.tensor([1, -1], [1, 2]);
    expectClose(await numbers(low.norm()), [5.280152, 3.162278], 1e-6, "norms");
    expectClose(
      (await numbers(low.norm())).map((n) => n * n),
      [27.88, 10],
      1e-5,
      "squared norms",
    );
    const base = layer.product(x, undefined, undefined);
    expectClose(await numbers(base), [-1, -2], 1e-6, "base");
    const y = scope(() => layer.forward(x));
    expectClose(await numbers(y), [-0.946943, -1.264911], 1e-6, "output");
    const merged = scope(() => mergedWeight(low));
    expectClose(await numbers(merged), [3.030216, 3.977159, 0.632456, 1.897367], 1e-6, "merged weight");
    const ends = dev.tensor(Int32Array.of(0, 1), [2]);
    for (const [n, want] of [-0.189388, -0.632456].entries()) {
      const pick = dev.tensor([n === 0 ? 1 : 0, n === 1 ? 1 : 0], [1, 2]);
      // The n-th output alone, as a product with a unit vector.
      const unit = new Linear(["unit"], pick);
      const { value, grads } = valueAndGrad({ m: parts.magnitude }, () =>
        segmentSum(unit.forward(layer.forward(x)).view([1]), ends),
      );
      expectClose(await numbers(grads.m), n === 0 ? [want, 0] : [0, want], 1e-6, `gradient of output ${n}`);
      disposeAll(value, grads, pick);
    }
    disposeAll(x, base, y, merged, ends);
    dispose();
  });

  test("magnitudes go by rows: one for each output", async () => {
    const { low, parts, dispose } = handLayer({ b: [0, 0] });
    parts.magnitude.write(Float32Array.of(0, 0));
    low.resetMagnitude();
    expectClose(await numbers(parts.magnitude), [5, 2], 1e-6, "magnitudes");
    dispose();
  });

  test("the scale of the direction doesn't matter; the merged rows have the magnitudes as norms", async () => {
    const merged: number[][] = [];
    for (const factor of [1, 7]) {
      const { low, dispose } = handLayer({ factor });
      const weight = scope(() => mergedWeight(low));
      merged.push(await numbers(weight));
      weight.dispose();
      dispose();
    }
    expectClose(merged[1]!, merged[0]!, 1e-6, "merged weight");
    expectClose(
      [Math.hypot(...merged[0]!.slice(0, 2)), Math.hypot(...merged[0]!.slice(2))],
      [5, 2],
      1e-6,
      "row norms",
    );
  });

  test("the bias isn't scaled", async () => {
    const x = dev.tensor([1, -1], [1, 2]);
    const { layer, dispose } = handLayer({ bias: [10, 20] });
    const y = scope(() => layer.forward(x));
    expectClose(await numbers(y), [10 - 0.946943, 20 - 1.264911], 1e-5, "output");
    disposeAll(x, y);
    dispose();
  });

  test("an update that cancels the weight leaves a norm near 0, never below", async () => {
    const weight = dev.tensor([1, 1 / 3, 3, 1], [2, 2]);
    const parts = {
      a: dev.tensor([1, 1 / 3], [1, 2]),
      b: dev.tensor([-1, -3], [2, 1]),
      magnitude: dev.tensor([1, 3], [2]),
    };
    const layer = new Linear(["cancelled"], weight);
    const low = new LowRank(layer, { ...parts, scaling: 1, dropout: 0 });
    layer.adapter = low;
    for (const norm of await numbers(low.norm())) {
      expect(norm).toBeGreaterThanOrEqual(0);
      expect(norm).toBeLessThan(1e-3);
    }
    const x = dev.tensor([1, -1], [1, 2]);
    const y = scope(() => layer.forward(x));
    for (const value of await numbers(y)) expect(Number.isFinite(value)).toBe(true);
    low.dispose();
    disposeAll(weight, parts, x, y);
  });
});

const batch = packBatch([
  [1, 5, 9, 2, 30, 7, 11, 3, 8, 21, 17, 22, 14, 39, 0],
  [4, 4, 12, 33, 6, 19, 25, 31],
]);

test("DoRA on experts trains: a magnitude for each target, they move, the loss falls", async () => {
  using model = tinyModel("mixtral", { device: dev, seed: 2 });
  using adapter = attachDora(model, { targets: ["w1", "w2", "w3"], rank: 4, alpha: 8 });
  const magnitudes = Object.entries(adapter.params).filter(([key]) => key.includes("magnitude"));
  const targets = Object.keys(model.params).filter((name) => /experts\.\d\.w\d\.weight$/.test(name));
  expect(magnitudes.map(([key]) => key.replace("lora_magnitude_vector", "weight")).sort()).toEqual(
    targets.sort(),
  );
  const before = new Map<string, number[]>();
  for (const [key, tensor] of magnitudes) before.set(key, await numbers(tensor));
  const losses: number[] = [];
  const run = { model, params: adapter.params, data: [batch], optimizer: adamw({ lr: 0.01 }), steps: 15 };
  for await (const { loss } of pretrain(run)) losses.push(loss);
  expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.5);
  for (const [key, tensor] of magnitudes) expect(await numbers(tensor), key).not.toEqual(before.get(key));
});

test("the norm is computed once for each update, however many passes there are", async () => {
  const runs = (op: string) => vi.spyOn(native().ops, op as "dora_norm");
  const [norms, squares] = [runs("dora_norm"), runs("row_sum_squares")];
  using model = tinyModel("mixtral", { device: dev, seed: 2 });
  using adapter = attachDora(model, { targets: ["q_proj", "w1"], rank: 2 });
  const layers = adapter.layers.length;
  const passes = async (): Promise<void> => {
    for (const recompute of [false, true]) {
      const { value, grads } = valueAndGrad(adapter.params, () =>
        languageModelLoss(model, batch, { recompute }),
      );
      disposeAll(value, grads);
    }
    model.logits(batch).dispose();
    await dev.ready();
  };
  await passes();
  expect(norms).toHaveBeenCalledTimes(layers);
  const options = { model, data: [batch], accumulationSteps: 2, recompute: true };
  const train = async (params: Record<string, Tensor>, steps: number) => {
    for await (const _ of pretrain({ ...options, params, optimizer: adamw(), steps }));
    await passes();
  };
  await train(adapter.params, 3);
  expect(norms).toHaveBeenCalledTimes(4 * layers);
  const magnitudes = Object.entries(adapter.params).filter(([key]) => key.includes("magnitude"));
  await train(Object.fromEntries(magnitudes), 3); // A and B stay
  expect(norms).toHaveBeenCalledTimes(4 * layers);
  adapter.params["model.layers.0.self_attn.q_proj.lora_B.weight"]!.write(new Float32Array(16 * 2));
  await passes();
  expect(norms).toHaveBeenCalledTimes(4 * layers + 1);
  expect(squares).toHaveBeenCalledTimes(layers);
});

test("gradients on experts are central differences with the norm held", async () => {
  using model = tinyModel("mixtral", { device: dev, seed: 2 }, { num_hidden_layers: 1 });
  using adapter = attachDora(model, { targets: ["w1", "w2", "w3"], rank: 2, alpha: 4 });
  randomize(adapter.params, "lora_B", { scale: 0.5 });
  randomize(adapter.params, "lora_A", { scale: 0.5, seed: 2 });
  const loss = () => languageModelLoss(model, batch);
  const { value, grads } = valueAndGrad(adapter.params, loss);
  const lossAt = async (
    names: string[],
    from: Map<string, number[]>,
    to: Map<string, number[]>,
    h: number,
  ) => {
    for (const name of names)
      adapter.params[name]!.write(Float32Array.from(from.get(name)!, (x, i) => x + h * to.get(name)![i]!));
    const value = loss();
    const number = await value.item();
    value.dispose();
    for (const name of names) adapter.params[name]!.write(Float32Array.from(from.get(name)!));
    return number;
  };
  let withNorm = 0;
  for (const held of [true, false]) {
    if (held) for (const low of adapter.layers) vi.spyOn(low, "norm").mockReturnValue(low.norm());
    else vi.restoreAllMocks();
    for (const part of ["lora_A", "lora_B", "magnitude"]) {
      const names = Object.keys(adapter.params).filter((name) => name.includes(part));
      const from = new Map<string, number[]>();
      const gradient = new Map<string, number[]>();
      for (const name of names) {
        from.set(name, await numbers(adapter.params[name]!));
        gradient.set(name, await numbers(grads[name]!));
      }
      const size = Math.hypot(...[...gradient.values()].flat());
      const random = new Random(5);
      for (const along of ["gradient", "random"]) {
        const to = new Map(
          [...gradient].map(([name, g]) => [
            name,
            g.map((x) =>
              along === "gradient" ? x / size : x / size + random.normal() / Math.sqrt(g.length),
            ),
          ]),
        );
        const want = [...to].reduce(
          (sum, [name, d]) => sum + d.reduce((s, x, i) => s + x * gradient.get(name)![i]!, 0),
          0,
        );
        const h = 0.01;
        const up = await lossAt(names, from, to, h);
        const down = await lossAt(names, from, to, -h);
        const difference = Math.abs((up - down) / (2 * h) - want) / Math.abs(want);
        if (held) expect(difference, `${part} along ${along}`).toBeLessThan(2e-3);
        else withNorm = Math.max(withNorm, difference);
      }
    }
  }
  expect(withNorm).toBeGreaterThan(0.02); // the full gradient is another one
  disposeAll(value, grads);
});
