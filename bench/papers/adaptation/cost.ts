// What methods cost: bytes of weights, adapter, optimizer state and gradients, and time of a step, side by side in one process.
import { disposeAll } from "../../../lib/core/tape.ts";
import { openCorpus } from "../../../lib/data/open_corpus.ts";
import { type PackedBatches, packedBatches } from "../../../lib/data/packed_batches.ts";
import {
  type Device,
  languageModelLoss,
  loadModel,
  loadTokenizer,
  type MethodOption,
  valueAndGrad,
} from "../../../lib/index.ts";
import { expandGrid } from "../../../lib/study/grid.ts";
import { attachMethod, optimizerOf } from "../../../lib/study/method.ts";
import { median } from "../../../lib/study/results.ts";
import { settingsOf } from "../../../lib/study/settings.ts";
import type { Arm } from "./arms.ts";
import type { Domains } from "./domains.ts";

export interface Cost {
  name: string;
  /** Numbers that train. */
  trainable: number;
  /** Measured on the device, f32. */
  modelBytes: number;
  adapterBytes: number;
  optimizerBytes: number;
  gradientBytes: number;
  /** Median, with its rounds' values. */
  microsecondsPerToken: number;
  rounds: number[];
}

interface Contender {
  cost: Cost;
  step(batch: number): Promise<void>;
  dispose(): void;
}

/**
 * Opens every arm on one device and lets them take steps in turn, `rounds` times after one that doesn't count: what disturbs
 * the machine meanwhile disturbs all.
 */
export async function measureCosts(
  device: Device,
  domains: Domains,
  arms: readonly Pick<Arm, "name" | "method">[],
  { batchTokens, rounds }: { batchTokens: number; rounds: number },
): Promise<Cost[]> {
  const corpus = await openCorpus(domains.data, await loadTokenizer(domains.model));
  const contenders: Contender[] = [];
  try {
    for (const arm of arms) contenders.push(await contenderOf(device, domains, arm, corpus, batchTokens));
    for (let round = 0; round <= rounds; round++) {
      for (const { cost, step } of contenders) {
        const started = performance.now();
        await step(round);
        if (round > 0) cost.rounds.push((1000 * (performance.now() - started)) / batchTokens);
      }
    }
    return contenders.map(({ cost }) => ({ ...cost, microsecondsPerToken: median(cost.rounds)! }));
  } finally {
    for (const { dispose } of contenders) dispose();
    await corpus.close?.();
  }
}

async function contenderOf(
  device: Device,
  domains: Domains,
  { name, method }: { name: string; method: MethodOption },
  corpus: Parameters<typeof packedBatches>[0],
  batchTokens: number,
): Promise<Contender> {
  const bytes = (): number => device.stats().bytes;
  const empty = bytes();
  const model = await loadModel(domains.model, { device, dtype: "f32" });
  const loaded = bytes();
  const [run] = expandGrid({ methods: [method], lr: [1e-4], seeds: [0] });
  const adapter = attachMethod(model, run!.method, 0);
  const attached = bytes();
  const params = adapter?.params ?? model.params;
  const settings = settingsOf({ ...domains, methods: [method], steps: 1, points: 1, out: "" });
  const optimizer = optimizerOf({ ...settings, schedule: "constant" }, run!).init(params);
  const cost: Cost = {
    name,
    trainable: Object.values(params).reduce((n, { size }) => n + size, 0),
    modelBytes: loaded - empty,
    adapterBytes: attached - loaded,
    optimizerBytes: bytes() - attached,
    gradientBytes: 0,
    microsecondsPerToken: Number.NaN,
    rounds: [],
  };
  const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
  const batches: PackedBatches = packedBatches(corpus, { batchTokens, maxLength });
  const step = async (index: number): Promise<void> => {
    const batch = await batches.batch(index);
    const { value, grads } = valueAndGrad(params, () => languageModelLoss(model, batch));
    cost.gradientBytes = Object.values(grads).reduce((sum, grad) => sum + grad.bytes, 0);
    const { gradNorm } = optimizer.step(grads);
    disposeAll(grads);
    await gradNorm.item();
    gradNorm.dispose();
    value.dispose();
  };
  return {
    cost,
    step,
    dispose: () => {
      optimizer.dispose();
      model.dispose();
    },
  };
}
