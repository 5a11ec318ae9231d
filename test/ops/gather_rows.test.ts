import { expect, test } from "vitest";
import { DeviceError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { gatherRows, scatterRows, spec } from "../../lib/ops/gather_rows.ts";
import { checkOp, normal, type OpCase, opened, roundBf16, ways } from "../support/check_op.ts";

const sizes = (title: string, V: number, T: number, D: number): OpCase => ({
  title,
  floats: (random) => ({ x: normal([V, D], random) }),
  ints: (random: Random) => ({
    rows: { shape: [T], data: Int32Array.from({ length: T }, () => random.below(V)) },
  }),
});

checkOp({
  spec,
  cases: [
    sizes("one row", 1, 1, 1),
    sizes("31 columns, rows that repeat", 5, 70, 31),
    sizes("33 columns, rows never read", 200, 33, 33),
    sizes("no rows", 4, 0, 8),
    sizes("132 columns, rows that repeat", 3, 100, 132),
  ],
  call: ({ x, rows }) => gatherRows(x!, rows!),
  oracle: ({ x }, shapes, { rows }) => {
    const D = shapes.x![1]!;
    return [Float64Array.from([...rows!].flatMap((row) => [...x!.subarray(row * D, row * D + D)]))];
  },
});

test("gatherRows: a row outside of the table poisons the stream", async () => {
  const dev = await opened();
  const x = dev.full([3, 2]);
  for (const bad of [3, -1]) {
    const rows = dev.tensor(Int32Array.of(0, bad), [2]);
    const y = gatherRows(x, rows);
    await expect(y.data()).rejects.toThrow(`row 1 holds index ${bad}, the table has 3 rows`);
    dev.reset();
    disposeAll(rows, y);
  }
  x.dispose();
});

test("gatherRows: the gradient adds equal rows in their order", async () => {
  for (const title of ways) {
    const dev = await opened(title);
    const random = new Random(7);
    for (const [V, T, D] of [
      [4100, 2100, 4],
      [2, 300, 5],
    ] as const) {
      const index = Int32Array.from({ length: T }, (_, i) => (i % 3 === 0 ? 1 : random.below(V)));
      const dy = Float32Array.from({ length: T * D }, () => random.normal() * 10 ** random.below(6));
      for (const dtype of ["f32", "bf16"] as const) {
        const round = dtype === "f32" ? Math.fround : (v: number) => roundBf16(Math.fround(v));
        const want = new Float32Array(V * D).fill(0.5);
        for (let i = 0; i < T * D; i++) {
          const at = index[Math.floor(i / D)]! * D + (i % D);
          want[at] = round(want[at]! + dy[i]!);
        }
        const tensors = [dev.tensor(dy, [T, D]), dev.tensor(index, [T]), dev.full([V, D], 0.5, dtype)];
        run("scatter_add_rows", ...tensors, true);
        expect(await tensors[2]!.data()).toEqual(want);
        disposeAll(tensors);
      }
    }
  }
});

test("scatterRows: rows land in place, the last of equal ones stays", async () => {
  for (const title of ways) {
    const dev = await opened(title);
    const target = dev.full([4, 2], -1, "bf16");
    const x = dev.tensor([1, 2, 3, 4, 5, 6], [3, 2]);
    const rows = dev.tensor(Int32Array.of(3, 0, 3), [3]);
    const version = target.version;
    scatterRows(x, rows, target);
    expect([...(await target.data())]).toEqual([3, 4, -1, -1, -1, -1, 5, 6]);
    expect(target.version).toBe(version + 1);
    disposeAll(target, x, rows);
  }
});

test("scatterRows: no rows, rows outside of the target, widths that differ", async () => {
  const dev = await opened();
  const target = dev.full([4, 2], 7);
  const none = [dev.empty([0, 2]), dev.empty([0], "i32")] as const;
  scatterRows(...none, target);
  expect([...(await target.data())]).toEqual(Array(8).fill(7));
  const x = dev.full([1, 2]);
  const wide = dev.full([1, 3]);
  const rows = dev.tensor(Int32Array.of(4), [1]);
  expect(() => scatterRows(wide, rows, target)).toThrow(ShapeError);
  scatterRows(x, rows, target);
  await expect(dev.ready()).rejects.toThrow(DeviceError);
  dev.reset();
  disposeAll(target, none, x, wide, rows);
});
