import { expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { scale } from "../../lib/ops/add.ts";
import { linear, spec } from "../../lib/ops/linear.ts";
import { checkOp, normal, type OpCase, opened, relativeError, roundBf16, ways } from "../support/check_op.ts";

const sizes = (title: string, T: number, K: number, N: number, extras: ("bias" | "onto")[] = []): OpCase => ({
  title,
  floats: (random) => ({
    x: normal([T, K], random),
    weight: normal([N, K], random),
    ...(extras.includes("bias") ? { bias: normal([N], random) } : {}),
    ...(extras.includes("onto") ? { onto: normal([T, N], random) } : {}),
  }),
});

const product = (x: Float64Array, weight: Float64Array, K: number, alpha = 1): Float64Array => {
  const N = weight.length / K;
  const y = new Float64Array((x.length / K) * N);
  for (let i = 0; i < y.length; i++) {
    const [t, n] = [Math.floor(i / N), i % N];
    for (let k = 0; k < K; k++) y[i]! += alpha * x[t * K + k]! * weight[n * K + k]!;
  }
  return y;
};

const alpha = 0.5;
checkOp({
  spec,
  cases: [
    sizes("one element, a bias", 1, 1, 1, ["bias"]),
    sizes("31 columns of x, 33 of y", 5, 31, 33),
    sizes("33 columns of x, 31 of y, a bias", 34, 33, 31, ["bias"]),
    sizes("onto another product", 7, 9, 20, ["onto"]),
    sizes("onto, with a bias", 3, 300, 2, ["bias", "onto"]),
    sizes("no rows", 0, 4, 3, ["bias"]),
    {
      title: "leading axes",
      floats: (random) => ({ x: normal([2, 3, 8], random), weight: normal([4, 8], random) }),
    },
  ],
  call: ({ x, weight, bias, onto }) =>
    linear(x!, weight!, { bias, alpha, onto: onto === undefined ? undefined : scale(onto, 1) }),
  oracle: ({ x, weight, bias, onto }, shapes) => {
    const [N, K] = shapes.weight as [number, number];
    return [product(x!, weight!, K, alpha).map((v, i) => v + (bias?.[i % N] ?? 0) + (onto?.[i] ?? 0))];
  },
});

test("linear: f32 output from bf16", async () => {
  const dev = await opened();
  const random = new Random(5);
  const x = normal([6, 40], random).data.map(roundBf16);
  const w = normal([9, 40], random).data.map(roundBf16);
  const xt = dev.tensor(Float32Array.from(x), [6, 40], { dtype: "bf16" });
  const wt = dev.tensor(Float32Array.from(w), [9, 40], { dtype: "bf16" });
  const y = linear(xt, wt, { dtype: "f32" });
  expect(y.dtype).toBe("f32");
  expect(relativeError(await y.data(), product(x, w, 40))).toBeLessThan(spec.tolerance.f32);
  disposeAll(xt, wt, y);
});

test("linear: onto is written in place, and refused in another size", async () => {
  const dev = await opened();
  const x = dev.full([2, 3], 1);
  const weight = dev.full([4, 3], 1);
  const onto = dev.full([2, 4], 10);
  const y = linear(x, weight, { onto });
  expect([...(await onto.data())]).toEqual(Array(8).fill(13));
  expect([...(await y.data())]).toEqual(Array(8).fill(13));
  const other = dev.full([4, 2], 0);
  expect(() => linear(x, weight, { onto: other })).toThrow(ShapeError);
  disposeAll(x, weight, onto, y, other);
});

const transposed = (x: Float64Array, rows: number, cols: number): Float64Array =>
  Float64Array.from(x, (_, i) => x[(i % rows) * cols + Math.floor(i / rows)]!);

// Which side the matrix core packs, reads in place or lets change places depends on the sizes and on how the sides lie;
// k takes several steps from 256 on.
test.each([
  { M: 3, N: 70, K: 520 },
  { M: 7, N: 140, K: 300 },
  { M: 20, N: 77, K: 300 },
  { M: 300, N: 10, K: 41 },
  { M: 300, N: 41, K: 10 },
  { M: 45, N: 9, K: 270 },
  { M: 130, N: 110, K: 300 },
  { M: 200, N: 130, K: 270 },
])("linear: $M × $K times $K × $N, each side either way round", async ({ M, N, K }) => {
  const random = new Random(M);
  const [left, right] = [normal([M, K], random).data, normal([N, K], random).data];
  for (const dtype of ["f32", "bf16"] as const) {
    const sides = dtype === "f32" ? [left, right] : [left.map(roundBf16), right.map(roundBf16)];
    const [a, b] = sides as [Float64Array, Float64Array];
    const want = product(a, b, K, 0.5).map((v) => v + 1);
    for (const way of ways) {
      const dev = await opened(way);
      for (const [turnA, turnB] of [
        [false, false],
        [false, true],
        [true, false],
        [true, true],
      ] as const) {
        const x = dev.tensor(Float32Array.from(turnA ? transposed(a, M, K) : a), turnA ? [K, M] : [M, K], {
          dtype,
        });
        const y = dev.tensor(Float32Array.from(turnB ? b : transposed(b, N, K)), turnB ? [N, K] : [K, N], {
          dtype,
        });
        const z = dev.full([M, N], 1);
        run("matmul", x, y, undefined, z, turnA, turnB, 0.5, true);
        const name = `${dtype}, ${way}, ${turnA ? "Aᵀ" : "A"} · ${turnB ? "Bᵀ" : "B"}`;
        expect(relativeError(await z.data(), want), name).toBeLessThan(spec.tolerance.f32);
        disposeAll(x, y, z);
      }
    }
  }
});

// Tiles that end in a short one, which the core may multiply in another way than the others.
test.each([
  { M: 100, N: 1536, K: 1024, turn: true },
  { M: 50, N: 4096, K: 300, turn: false },
  { M: 128, N: 289, K: 300, turn: false },
])("linear: $M × $K times $K × $N has the same bits on 1 and 2 threads", async ({ M, N, K, turn }) => {
  const random = new Random(N);
  const [left, right] = [normal([M, K], random).data, normal([K, N], random).data];
  const bits: (Float32Array | Int32Array)[] = [];
  for (const threads of [1, 2, 3]) {
    const dev = await device("cpu", { threads });
    const x = dev.tensor(Float32Array.from(left), [M, K]);
    const y = dev.tensor(Float32Array.from(right), turn ? [N, K] : [K, N]);
    const z = dev.empty([M, N]);
    run("matmul", x, y, undefined, z, false, turn, 1, false);
    bits.push(await z.data());
    disposeAll(x, y, z);
    dev.close();
  }
  expect(bits[1]).toEqual(bits[0]);
  expect(bits[2]).toEqual(bits[0]);
});
