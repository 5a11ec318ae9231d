import { expect, test } from "vitest";
import { ConfigError, DeviceError, DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { type SampleOptions, sample } from "../../lib/ops/sample.ts";
import { normal, opened, roundBf16, ways } from "../support/check_op.ts";
import { philox } from "../support/philox.ts";
import { topOf } from "../support/routing.ts";

const all = { temperature: 1, topK: 0, topP: 1, seed: 1, position: 0 };

async function draw(rows: number[][], options: SampleOptions): Promise<number[]> {
  const dev = await opened();
  const logits = dev.tensor(rows.flat(), [rows.length, rows[0]!.length]);
  const ids = sample(logits, options);
  const drawn = [...(await ids.data())];
  disposeAll(logits, ids);
  return drawn;
}

function oracle(
  row: Float64Array,
  { temperature, topK, topP, seed, position }: SampleOptions,
  index: number,
): number {
  const order = topOf(row, topK || row.length);
  if (temperature === 0) return order[0]!;
  const weight = (id: number) => Math.exp((row[id]! - row[order[0]!]!) / temperature);
  const total = (ids: number[]) => ids.reduce((sum, id) => sum + weight(id), 0);
  // Where among `ids` the running sum of their weights gets far enough.
  const first = (ids: number[], passes: (sum: number) => boolean): number => {
    let sum = 0;
    return ids.findIndex((id) => {
      sum += weight(id);
      return passes(sum);
    });
  };
  const nucleus = topP < 1 ? first(order, (sum) => sum >= topP * total(order)) + 1 : order.length;
  const kept = order.slice(0, nucleus).sort((a, b) => a - b);
  const [w0, w1] = philox(seed, position, index) as [number, number];
  const u = ((w0 >>> 5) * 2 ** 26 + (w1 >>> 6)) / 2 ** 53;
  return kept[first(kept, (sum) => sum > u * total(kept))]!;
}

test("sample: greedy takes the largest, the lowest index on ties", async () => {
  const greedy = { ...all, temperature: 0 };
  expect(
    await draw(
      [
        [0, 3, 1, 3],
        [-5, -7, -Infinity, -6],
        [2, 2, 2, 2],
      ],
      greedy,
    ),
  ).toEqual([1, 0, 0]);
});

for (const options of [
  { temperature: 0, topK: 0, topP: 1 },
  { temperature: 1, topK: 0, topP: 1 },
  { temperature: 0.7, topK: 1, topP: 1 },
  { temperature: 2, topK: 5, topP: 1 },
  { temperature: 1, topK: 0, topP: 0.6 },
  { temperature: 1.5, topK: 20, topP: 0.8 },
  { temperature: 1, topK: 1000, topP: 1e-9 },
]) {
  test(`sample: follows the oracle, ${JSON.stringify(options)}`, async () => {
    for (const [B, V] of [
      [1, 1],
      [5, 31],
      [40, 33],
      [3, 700],
      [2, 3000], // on CUDA about all the shared memory that needs no asking
      [0, 4],
    ] as const) {
      for (const dtype of ["f32", "bf16"] as const) {
        const data = normal([B, V], new Random(V), 2).data.map(dtype === "bf16" ? roundBf16 : Math.fround);
        const at = { ...options, seed: 2 ** 45 + 9, position: 3 };
        const want = Array.from({ length: B }, (_, b) => oracle(data.subarray(b * V, b * V + V), at, b));
        for (const title of ways) {
          const dev = await opened(title);
          const logits = dev.tensor(Float32Array.from(data), [B, V], { dtype });
          const ids = sample(logits, at);
          expect([...(await ids.data())], `${B}×${V} ${dtype} ${title}`).toEqual(want);
          disposeAll(logits, ids);
        }
      }
    }
  });
}

test("sample: frequencies over many seeds lie within 4 sigma", async () => {
  const row = [1, 0, -1, 2, -Infinity];
  const B = 2000; // each row draws a number of its own
  const rows = Array(B).fill(row);
  const shares = async (options: Partial<SampleOptions>, kept: number[], temperature: number) => {
    const counts = Array(5).fill(0);
    const seeds = process.env.MIXWRIGHT_TEST_DEVICE ? 1 : 10; // an emulated device needs minutes for ten
    for (let seed = 0; seed < seeds; seed++)
      for (const id of await draw(rows, { ...all, temperature, ...options, seed })) counts[id]++;
    const weights = row.map((z, id) => (kept.includes(id) ? Math.exp(z / temperature) : 0));
    const total = weights.reduce((a, b) => a + b);
    const n = B * seeds;
    weights.forEach((weight, id) => {
      const p = weight / total;
      expect(Math.abs(counts[id] - n * p), `token ${id}`).toBeLessThanOrEqual(4 * Math.sqrt(n * p * (1 - p)));
    });
  };
  await shares({}, [0, 1, 2, 3], 1);
  await shares({}, [0, 1, 2, 3], 2);
  await shares({ topK: 2 }, [0, 3], 1);
  await shares({ topP: 0.7 }, [0, 3], 1); // 0.644 alone does not reach it
  await shares({ topP: 0.6 }, [3], 1);
});

test("sample: the draw depends on seed, position and row alone", async () => {
  const rows = Array(50).fill([0, 0, 0, 0, 0, 0, 0, 0]);
  const first = await draw(rows, all);
  expect(await draw(rows, all)).toEqual(first);
  expect(await draw(rows.slice(0, 9), all)).toEqual(first.slice(0, 9));
  expect(await draw(rows, { ...all, seed: 2 })).not.toEqual(first);
  expect(await draw(rows, { ...all, position: 1 })).not.toEqual(first);
});

test("sample: options out of range and operands that don't fit are refused", async () => {
  const dev = await opened();
  const logits = dev.full([1, 4]);
  for (const bad of [
    { temperature: -1 },
    { temperature: Number.NaN },
    { topP: 0 },
    { topP: 1.1 },
    { topK: -1 },
    { topK: 1.5 },
  ]) {
    expect(() => sample(logits, { ...all, ...bad }), JSON.stringify(bad)).toThrow(ConfigError);
  }
  const [ints, flat] = [dev.full([1, 4], 0, "i32"), dev.full([4])];
  expect(() => sample(ints, all)).toThrow(DTypeError);
  expect(() => sample(flat, all)).toThrow(ShapeError);
  disposeAll(logits, ints, flat);
});

test("sample: a row of NaN, or of -inf alone, poisons the stream", async () => {
  const dev = await opened();
  for (const bad of [
    [0, Number.NaN, 1],
    [-Infinity, -Infinity, -Infinity],
    [0, Infinity, 0],
  ]) {
    const logits = dev.tensor([0, 0, 0, ...bad], [2, 3]);
    const ids = sample(logits, all);
    await expect(ids.data()).rejects.toThrow(DeviceError);
    await expect(ids.data()).rejects.toThrow("row 1 has NaN or no finite largest logit");
    dev.reset();
    disposeAll(logits, ids);
  }
});
