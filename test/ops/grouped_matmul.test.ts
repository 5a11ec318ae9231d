import { expect, test } from "vitest";
import { DeviceError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { scale } from "../../lib/ops/add.ts";
import { groupedMatmul, spec } from "../../lib/ops/grouped_matmul.ts";
import { checkOp, normal, type OpCase, opened, relativeError, ways } from "../support/check_op.ts";
import { sorted } from "../support/routing.ts";

interface Sizes {
  rowsOf: number[]; // of each expert
  K: number;
  N: number;
  onto?: boolean;
}

const isSorted = (title: string, { rowsOf, K, N, onto = false }: Sizes): OpCase => {
  const R = rowsOf.reduce((a, b) => a + b, 0);
  return {
    title,
    floats: (random) => ({
      x: normal([R, K], random),
      weight: normal([rowsOf.length, N, K], random),
      ...(onto ? { onto: normal([R, N], random) } : {}),
    }),
    ints: () => {
      let end = 0;
      const offsets = Int32Array.from([0, ...rowsOf.map((rows) => (end += rows))]);
      return { offsets: { shape: [offsets.length], data: offsets } };
    },
  };
};

/** Tokens each choose `topK` of the experts below `used`; those above stay without rows. */
const inTokenOrder = (
  title: string,
  { T, topK, E, used = E, K, N }: { T: number; topK: number; E: number; used?: number; K: number; N: number },
): OpCase => ({
  title,
  floats: (random) => ({ x: normal([T, K], random), weight: normal([E, N, K], random) }),
  ints: (random: Random) => {
    const { offsets, slots, positions } = sorted(
      Array.from({ length: T * topK }, () => random.below(used)),
      E,
    );
    return {
      offsets: { shape: [E + 1], data: offsets },
      rows: { shape: [T * topK], data: slots.map((slot) => Math.floor(slot / topK)) },
      positions: { shape: [T * topK], data: positions },
    };
  },
});

const alpha = 0.5;
checkOp({
  spec,
  cases: [
    inTokenOrder("each token to 2 of 4 experts", { T: 5, topK: 2, E: 4, K: 3, N: 2 }),
    inTokenOrder("33 columns to 31, half of the experts unused", {
      T: 40,
      topK: 3,
      E: 8,
      used: 4,
      K: 33,
      N: 31,
    }),
    inTokenOrder("no tokens", { T: 0, topK: 2, E: 3, K: 4, N: 5 }),
    isSorted("one row", { rowsOf: [1], K: 1, N: 1 }),
    isSorted("an expert without rows, 31 columns to 33", { rowsOf: [3, 0, 40, 1], K: 31, N: 33 }),
    isSorted("onto another product", { rowsOf: [0, 7, 2], K: 9, N: 20, onto: true }),
    isSorted("no rows", { rowsOf: [0, 0], K: 4, N: 3 }),
  ],
  call: ({ x, weight, offsets, rows, positions, onto }) =>
    groupedMatmul(
      x!,
      weight!,
      { offsets: offsets!, gather: rows && { rows, positions: positions! } },
      { alpha, onto: onto === undefined ? undefined : scale(onto, 1) },
    ),
  oracle: ({ x, weight, onto }, shapes, { offsets, rows }) => {
    const [E, N, K] = shapes.weight as [number, number, number];
    const y = new Float64Array(offsets![E]! * N);
    for (let e = 0; e < E; e++) {
      for (let i = offsets![e]!; i < offsets![e + 1]!; i++) {
        const row = rows?.[i] ?? i;
        for (let n = 0; n < N; n++) {
          y[i * N + n] = onto?.[i * N + n] ?? 0;
          for (let k = 0; k < K; k++)
            y[i * N + n]! += alpha * x![row * K + k]! * weight![(e * N + n) * K + k]!;
        }
      }
    }
    return [y];
  },
});

test("groupedMatmul: offsets and rows that don't fit poison the stream", async () => {
  const dev = await opened();
  const x = dev.full([2, 3]);
  const weight = dev.full([2, 4, 3]);
  const list = (...data: number[]) => dev.tensor(Int32Array.from(data), [data.length]);
  for (const [offsets, rows] of [
    [list(0, 1, 3), undefined],
    [list(0, 2, 1), undefined],
    [list(0, 1, 2), list(0, 2)],
    [list(0, 1, 2), list(-1, 0)],
  ] as const) {
    const y = groupedMatmul(x, weight, { offsets, gather: rows && { rows, positions: rows } });
    await expect(y.data()).rejects.toThrow(DeviceError);
    dev.reset();
    disposeAll(offsets, rows, y);
  }
  disposeAll(x, weight);
});

test("groupedMatmul: onto in another size is refused", async () => {
  const dev = await opened();
  const random = new Random(1);
  const operands = isSorted("", { rowsOf: [2], K: 3, N: 4 }).floats(random);
  const [x, weight] = [operands.x!, operands.weight!].map((v) =>
    dev.tensor(Float32Array.from(v.data), v.shape),
  );
  const offsets = dev.tensor(Int32Array.of(0, 2), [2]);
  const onto = dev.full([2, 5]);
  expect(() => groupedMatmul(x!, weight!, { offsets }, { onto })).toThrow(ShapeError);
  disposeAll(x, weight, offsets, onto);
});

test("grouped_matmul_weight_grad: a gradient larger than the caches", async () => {
  const rowsOf = [3, 0, 5];
  const [R, N, K] = [8, 1200, 1184];
  const random = new Random(3);
  const [dy, x] = [normal([R, N], random).data, normal([R, K], random).data];
  const want = new Float64Array(rowsOf.length * N * K);
  for (let i = 0; i < R; i++) {
    const e = i < 3 ? 0 : 2;
    for (let n = 0; n < N; n++) {
      for (let k = 0; k < K; k++) want[(e * N + n) * K + k]! += dy[i * N + n]! * x[i * K + k]!;
    }
  }
  for (const way of ways) {
    const dev = await opened(way);
    const operands = [dev.tensor(Float32Array.from(dy), [R, N]), dev.tensor(Float32Array.from(x), [R, K])];
    const offsets = dev.tensor(Int32Array.from([0, 3, 3, 8]), [4]);
    const dweight = dev.full([rowsOf.length, N, K], 7);
    run("grouped_matmul_weight_grad", ...operands, offsets, undefined, dweight, 1, false);
    expect(relativeError(await dweight.data(), want), way).toBeLessThan(spec.tolerance.f32);
    disposeAll(operands, offsets, dweight);
  }
});
