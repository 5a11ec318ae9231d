import { afterAll, beforeAll, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { type LabelledBatch, labelledBatches, packPairs } from "../../lib/text/alignment_batches.ts";
import type { Labelled, Pair } from "../../lib/text/alignment_rows.ts";
import { trainDpo } from "../../lib/train/dpo.ts";
import { trainKto } from "../../lib/train/kto.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyMoe } from "../support/tiny_run.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

const ids = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => (seed * 7 + i * 5 + 1) % 64);
const pairs = (count: number, seed: number): Pair[] =>
  Array.from({ length: count }, (_, i) => ({
    prompt: ids(3 + (i % 3), seed + i),
    chosen: ids(2 + (i % 4), seed + 3 * i + 1),
    rejected: ids(3, seed + 5 * i + 2),
  }));
const read = <T extends object>(rows: T) => ({ ...rows, truncated: [], dropped: [] });

async function last(run: AsyncIterable<StepMetrics>): Promise<StepMetrics> {
  let m: StepMetrics | undefined;
  for await (m of run);
  return m!;
}

test("dpo measures pairs of its own against the model as it was, resumed or not", async () => {
  const data = read({ pairs: pairs(4, 1) });
  const validation = { every: 1, sets: { more: packPairs(pairs(7, 90), 3) } };
  const common = { data, validation, batchSize: 2, optimizer: adamw({ lr: 3e-3 }) };
  const dir = tempDir();
  using whole = tinyMoe(dev);
  using reference = tinyMoe(dev);
  using parts = tinyMoe(dev);
  const given = await last(trainDpo({ ...common, model: whole, reference, steps: 3 }));
  const checkpoint = { dir, every: 1, resume: true };
  const first = await last(trainDpo({ ...common, model: parts, steps: 1, checkpoint }));
  expect(first.validation!.more).not.toBeCloseTo(Math.LN2, 6);
  const resumed = await last(trainDpo({ ...common, model: parts, steps: 3, checkpoint }));
  expect(resumed.validation).toEqual(given.validation);
  const other = { every: 1, sets: { more: packPairs(pairs(7, 91), 3) } };
  await expect(
    last(trainDpo({ ...common, validation: other, model: parts, steps: 4, checkpoint })),
  ).rejects.toThrow(/reference_validation.safetensors: it belongs to other pairs, validation sets/);
});

test("kto's rewards on a validation set are means over the batches that have rows of a kind", async () => {
  using model = tinyMoe(dev);
  const labelled = pairs(4, 1).flatMap(({ prompt, chosen, rejected }): Labelled[] => [
    { prompt, completion: chosen, label: true },
    { prompt, completion: rejected, label: false },
  ]);
  const batchesOf = async (rows: readonly Labelled[]): Promise<LabelledBatch> =>
    labelledBatches(rows, { batchSize: 4, seed: 0, shuffle: false }).batch(0);
  const wanted = await batchesOf(labelled.filter(({ label }) => label));
  const unwanted = await batchesOf(labelled.filter(({ label }) => !label));
  const sets = { wanted: [wanted], unwanted: [unwanted], both: [wanted, unwanted] };
  const { validation = {} } = await last(
    trainKto({
      model,
      data: read({ labelled }),
      batchSize: 4,
      optimizer: adamw({ lr: 3e-3 }),
      steps: 2,
      validation: { every: 1, sets },
    }),
  );
  expect(validation["wanted/rewards/chosen"]).not.toBe(0);
  expect(validation["both/rewards/chosen"]).toBeCloseTo(validation["wanted/rewards/chosen"]!, 9);
  expect(validation["both/logps/rejected"]).toBeCloseTo(validation["unwanted/logps/rejected"]!, 9);
});
