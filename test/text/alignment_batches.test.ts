import { describe, expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { loadModel } from "../../lib/models/load.ts";
import {
  labelledBatches,
  packCompletions,
  packPairs,
  pairBatches,
  promptBatches,
} from "../../lib/text/alignment_batches.ts";
import {
  type Labelled,
  type Pair,
  type Prompt,
  readLabelled,
  readPairs,
} from "../../lib/text/alignment_rows.ts";
import type { BatchSource, TokenBatch } from "../../lib/text/token_batch.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { logProbs } from "../../lib/train/loss.ts";
import { readJson } from "../support/oracle.ts";
import { sharedPath } from "../support/shared_data.ts";
import { testDevice } from "../support/test_device.ts";

/** Pair i: a prompt of 100 + i, completions of 200 + i and 300 + i, all of different lengths. */
const pairsOf = (count: number, margin?: (i: number) => number | undefined): Pair[] =>
  Array.from({ length: count }, (_, i) => {
    const of = (id: number, length: number) => new Array<number>(length).fill(id + i);
    const pair = { prompt: of(100, 1 + (i % 3)), chosen: of(200, 1 + (i % 2)), rejected: of(300, 2) };
    const own = margin?.(i);
    return own === undefined ? pair : { ...pair, margin: own };
  });

const labelledOf = (count: number): Labelled[] =>
  pairsOf(count).map(({ prompt, chosen }, i) => ({ prompt, completion: chosen, label: i % 2 === 0 }));

const promptsOf = (count: number): Prompt[] =>
  Array.from({ length: count }, (_, i) => ({ ids: [i], row: { prompt: `${i}`, answer: i } }));

/** Each document as [prompt, completion], which the targets tell apart. */
function documentsOf({ tokens, targets, offsets }: TokenBatch): [number[], number[]][] {
  return Array.from({ length: offsets.length - 1 }, (_, d) => {
    const [begin, end] = [offsets[d]!, offsets[d + 1]!];
    const learned = Array.from(targets.subarray(begin, end));
    const first = learned.findIndex((target) => target !== -100);
    expect(learned.slice(0, first).every((target) => target === -100)).toBe(true);
    expect(learned.slice(first)).toEqual([...tokens.subarray(begin + first + 1, end), -100]);
    return [
      Array.from(tokens.subarray(begin, begin + first + 1)),
      Array.from(tokens.subarray(begin + first + 1, end)),
    ];
  });
}

/** The first batches of a source, each made by a new source too, to see that it depends on its number alone. */
async function first<B>(make: () => BatchSource<B>, count: number): Promise<B[]> {
  const source = make();
  const batches: B[] = [];
  for (let i = 0; i < count; i++) batches.push(await source.batch(i));
  for (let i = count - 1; i >= 0; i--) {
    expect(await make().batch(i)).toEqual(batches[i]);
    expect(await source.batch(i)).toEqual(batches[i]);
  }
  return batches;
}

const sorted = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

test("pairs are packed chosen first, then rejected, targets on completions only", async () => {
  const pairs = pairsOf(3);
  const batch = await pairBatches(pairs, { batchSize: 3, shuffle: false }).batch(0);
  expect(batch.pairs).toEqual([0, 1, 2]);
  expect("margins" in batch).toBe(false);
  expect(documentsOf(batch)).toEqual([
    ...pairs.map(({ prompt, chosen }) => [prompt, chosen]),
    ...pairs.map(({ prompt, rejected }) => [prompt, rejected]),
  ]);
});

test("margins go with their pairs, 0 where a row has none", async () => {
  const pairs = pairsOf(5, (i) => (i === 0 ? 0.5 : undefined));
  const batches = packPairs(pairs, 2);
  expect(batches.map(({ margins }) => margins)).toEqual([
    Float32Array.of(0.5, 0),
    Float32Array.of(0, 0),
    Float32Array.of(0),
  ]);
  const shuffled = await first(() => pairBatches(pairs, { batchSize: 2, seed: 1 }), 3);
  for (const { pairs: indices, margins } of shuffled)
    expect(Array.from(margins!)).toEqual(indices.map((i) => (i === 0 ? 0.5 : 0)));
});

test("each epoch has every pair once in an order of its own, the last batch what remains", async () => {
  const pairs = pairsOf(8);
  const epochs = async (seed?: number) => {
    const batches = await first(
      () => pairBatches(pairs, seed === undefined ? { batchSize: 3 } : { batchSize: 3, seed }),
      9,
    );
    for (const batch of batches)
      expect(documentsOf(batch).map(([prompt]) => prompt)).toEqual(
        [...batch.pairs, ...batch.pairs].map((i) => pairs[i]!.prompt),
      );
    expect(batches.map((batch) => batch.pairs.length)).toEqual([3, 3, 2, 3, 3, 2, 3, 3, 2]);
    return [0, 3, 6].map((at) => batches.slice(at, at + 3).flatMap((batch) => batch.pairs));
  };
  const orders = await epochs();
  for (const order of orders) expect(sorted(order)).toEqual(upTo(8));
  expect(new Set(orders.map(String)).size).toBe(3);
  expect(await epochs(0)).toEqual(orders);
  expect(await epochs(1)).not.toEqual(orders);
});

test("unshuffled batches repeat the order given; packPairs gives it once", async () => {
  const pairs = pairsOf(5);
  const once = packPairs(pairs, 2);
  const twice = await first(() => pairBatches(pairs, { batchSize: 2, shuffle: false }), 6);
  expect(twice).toEqual([...once, ...once]);
  expect(once.map((batch) => batch.pairs)).toEqual([[0, 1], [2, 3], [4]]);
  expect(packPairs([], 2)).toEqual([]);
});

describe.each([2, 3, 4, 5])("%i labelled rows a batch", (batchSize) => {
  test.each([2, 5, 6, 7, 9, 12])("of %i: no row meets its own completion", async (count) => {
    const rows = labelledOf(count);
    const batches = await first(() => labelledBatches(rows, { batchSize, seed: 3 }), 8);
    for (const batch of batches) {
      const size = batch.rows.length;
      expect(size).toBeGreaterThanOrEqual(2);
      expect(size).toBeLessThanOrEqual(batchSize + 1);
      const mine = batch.rows.map((i) => rows[i]!);
      expect(batch.labels).toEqual(mine.map(({ label }) => label));
      expect(documentsOf(batch)).toEqual([
        ...mine.map(({ prompt, completion }) => [prompt, completion]),
        ...mine.map(({ prompt }, i) => [prompt, mine[(i + size - 1) % size]!.completion]),
      ]);
      for (const [d, [prompt, completion]] of documentsOf(batch).entries())
        expect(completion[0]! - 100 === prompt[0], `document ${d}`).toBe(d < size);
    }
  });
});

test("one row that remains joins the batch before; every row comes once an epoch", async () => {
  const batches = await first(() => labelledBatches(labelledOf(7), { batchSize: 3 }), 6);
  expect(batches.map(({ rows }) => rows.length)).toEqual([3, 4, 3, 4, 3, 4]);
  for (const at of [0, 2, 4])
    expect(sorted(batches.slice(at, at + 2).flatMap(({ rows }) => rows))).toEqual(upTo(7));
  const rest = await first(() => labelledBatches(labelledOf(8), { batchSize: 3 }), 3);
  expect(rest.map(({ rows }) => rows.length)).toEqual([3, 3, 2]);
});

test("mismatched documents end at maxLength, the rows themselves stay as they were read", async () => {
  const rows = [
    { prompt: [1, 2, 3], completion: [4], label: true },
    { prompt: [5], completion: [6, 7, 8], label: false },
  ];
  const make = (maxLength?: number) =>
    labelledBatches(rows, { batchSize: 2, shuffle: false, ...(maxLength !== undefined && { maxLength }) });
  const own = rows.map(({ prompt, completion }) => [prompt, completion]);
  expect(documentsOf(await make().batch(0))).toEqual([
    ...own,
    [
      [1, 2, 3],
      [6, 7, 8],
    ],
    [[5], [4]],
  ]);
  expect(documentsOf(await make(4).batch(0))).toEqual([...own, [[1, 2, 3], [6]], [[5], [4]]]);
  expect(() => make(3)).toThrow("maxLength is 3, more than the 3 tokens of the longest prompt was needed");
  expect(() => make(Number.NaN)).toThrow(ConfigError);
});

test("prompts come by number, with their rows", async () => {
  const prompts = promptsOf(5);
  const batches = await first(() => promptBatches(prompts, { batchSize: 2 }), 6);
  for (const batch of batches) expect(batch.prompts).toEqual(batch.rows.map((i) => prompts[i]));
  const epochs = [batches.slice(0, 3), batches.slice(3)].map((epoch) => epoch.flatMap(({ rows }) => rows));
  for (const epoch of epochs) expect(sorted(epoch)).toEqual(upTo(5));
  expect(epochs[0]).not.toEqual(epochs[1]);
  const inOrder = await first(() => promptBatches(prompts, { batchSize: 2, shuffle: false }), 4);
  expect(inOrder.map(({ rows }) => rows)).toEqual([[0, 1], [2, 3], [4], [0, 1]]);
});

test("sizes that can't be are refused", () => {
  for (const batchSize of [0, -1, 1.5, Number.NaN, "2" as unknown as number]) {
    const message = `batchSize is ${batchSize}, a whole number from`;
    expect(() => pairBatches(pairsOf(3), { batchSize })).toThrow(message);
    expect(() => packPairs(pairsOf(3), batchSize)).toThrow(message);
    expect(() => labelledBatches(labelledOf(3), { batchSize })).toThrow(message);
    expect(() => promptBatches(promptsOf(3), { batchSize })).toThrow(message);
  }
  expect(() => labelledBatches(labelledOf(3), { batchSize: 1 })).toThrow(
    "labelledBatches: batchSize is 1, a whole number from 2 was needed",
  );
  expect(() => labelledBatches(labelledOf(1), { batchSize: 2 })).toThrow(
    "labelledBatches: there are 1 rows, at least 2 were needed",
  );
  expect(() => pairBatches([], { batchSize: 1 })).toThrow(ConfigError);
  expect(() => promptBatches([], { batchSize: 1 })).toThrow("there are 0 rows, at least 1 were needed");
});

test("a prompt's last token has the completion's first as target; a completion may be one token", () => {
  const { tokens, targets, offsets } = packCompletions([{ prompt: [1, 2], completion: [3] }]);
  expect([Array.from(tokens), Array.from(targets), Array.from(offsets)]).toEqual([
    [1, 2, 3],
    [-100, 3, -100],
    [0, 3],
  ]);
});

const fixture = sharedPath("data/fixtures/trl_stories260K.json");
const pretrained = sharedPath("data/models/stories260K");

test.skipIf(!fixture || !pretrained)(
  "the log-probabilities that TRL logs before its first update",
  async () => {
    type Step = Record<"logps/chosen" | "logps/rejected", number>;
    interface Fixture {
      pairs: { prompt: string; chosen: string; rejected: string }[];
      kto_data: { prompt: string; completion: string; label: boolean }[];
      runs: { dpo_sigmoid: Step[]; kto: Step[] };
    }
    const { pairs: rows, kto_data, runs } = readJson<Fixture>(fixture!);
    const dev = await device(testDevice, { threads: 2 });
    const model = await loadModel(pretrained!, { device: dev });
    const options = { tokenizer: await loadTokenizer(pretrained!), maxLength: 512 };
    const ofDocuments = async (batch: TokenBatch): Promise<number[]> => {
      const sums = logProbs(model, batch);
      const values = Array.from(await sums.data());
      sums.dispose();
      return values;
    };
    const expectMean = (values: number[], want: number) =>
      expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeCloseTo(want, 3);

    const { pairs } = await readPairs(rows, options);
    const both = await ofDocuments(packPairs(pairs, pairs.length)[0]!);
    expectMean(both.slice(0, pairs.length), runs.dpo_sigmoid[0]!["logps/chosen"]);
    expectMean(both.slice(pairs.length), runs.dpo_sigmoid[0]!["logps/rejected"]);

    const { labelled } = await readLabelled(kto_data, options);
    const batch = await labelledBatches(labelled, { batchSize: labelled.length }).batch(0);
    const own = await ofDocuments(batch);
    const where = (label: boolean) => own.filter((_, d) => batch.labels[d] === label);
    expectMean(where(true), runs.kto[0]!["logps/chosen"]);
    expectMean(where(false), runs.kto[0]!["logps/rejected"]);
    model.dispose();
    await dev.close();
  },
);
