import { expect, test } from "vitest";
import type { DType } from "../../lib/core/dtype.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { normal, opened, relativeError, roundBf16 } from "../support/check_op.ts";

// Sizes that reach the large, flat and narrow tiles of a device's matrix core, and its pieces of k. Only some elements of each
// result are compared with float64.

const kSome = 400;

const make = (dtype: DType, shape: number[], random: Random): Float64Array =>
  normal(shape, random).data.map(dtype === "bf16" ? roundBf16 : Math.fround);

const some = (size: number, random: Random): number[] =>
  Array.from({ length: Math.min(size, kSome) }, (_, i) => (i === 0 ? size - 1 : random.below(size)));

interface Dense {
  M: number;
  N: number;
  K: number;
  dtypes: [DType, DType];
}

const dense = (M: number, N: number, K: number, a: DType, b: DType = a): Dense => ({
  M,
  N,
  K,
  dtypes: [a, b],
});

test.each([
  dense(1290, 1280, 40, "bf16"),
  dense(1290, 1280, 40, "f32"),
  dense(1281, 1275, 33, "bf16"),
  dense(13, 700, 1100, "bf16"),
  dense(16, 264, 528, "f32"),
  dense(700, 13, 1100, "bf16"),
  dense(264, 16, 528, "f32"),
  dense(150, 72, 1100, "bf16"),
  dense(150, 72, 530, "f32", "bf16"),
  dense(150, 72, 530, "bf16", "f32"),
  dense(20, 24, 0, "bf16"),
])("matmul: $M × $K times $K × $N, $dtypes", async ({ M, N, K, dtypes }) => {
  const random = new Random(M + N);
  const dev = await opened();
  const [a, b] = [make(dtypes[0], [M, K], random), make(dtypes[1], [K, N], random)];
  const bias = make("bf16", [N], random);
  const places = some(M * N, random);
  for (const [turnA, turnB] of [
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ] as const) {
    const turned = (x: Float64Array, rows: number, cols: number, turn: boolean) =>
      Float32Array.from(x, (v, i) => (turn ? x[(i % rows) * cols + Math.floor(i / rows)]! : v));
    const x = dev.tensor(turned(a, M, K, turnA), turnA ? [K, M] : [M, K], { dtype: dtypes[0] });
    const y = dev.tensor(turned(b, K, N, turnB), turnB ? [N, K] : [K, N], { dtype: dtypes[1] });
    const biases = dev.tensor(Float32Array.from(bias), [N], { dtype: "bf16" });
    for (const [dtype, withBias, accumulate] of [
      ["f32", true, false],
      ["bf16", false, true],
    ] as const) {
      const z = dev.full([M, N], 2, dtype);
      run("matmul", x, y, withBias ? biases : undefined, z, turnA, turnB, 0.5, accumulate);
      const want = places.map((at) => {
        const [m, n] = [Math.floor(at / N), at % N];
        let sum = 0;
        for (let k = 0; k < K; k++) sum += a[m * K + k]! * b[k * N + n]!;
        return 0.5 * sum + (withBias ? bias[n]! : 0) + (accumulate ? 2 : 0);
      });
      const got = await z.data();
      const name = `${turnA ? "Aᵀ" : "A"} · ${turnB ? "Bᵀ" : "B"} in ${dtype}`;
      expect(
        relativeError(
          places.map((at) => got[at]!),
          want,
        ),
        name,
      ).toBeLessThan(dtype === "f32" ? 1e-5 : 1e-2);
      disposeAll(z);
    }
    disposeAll(x, y, biases);
  }
});

test("matmul: operands that begin at any element", async () => {
  const random = new Random(4);
  const dev = await opened();
  const [M, N, K] = [70, 40, 64];
  for (const dtype of ["f32", "bf16"] as const) {
    const [a, b] = [make(dtype, [(M + 1) * K], random), make(dtype, [(N + 1) * K], random)];
    const z = dev.full([M * N + 3], 0);
    for (const from of [1, 4, 8]) {
      const all = [
        dev.tensor(Float32Array.from(a), [a.length], { dtype }),
        dev.tensor(Float32Array.from(b), [b.length], { dtype }),
      ];
      const [x, y] = [all[0]!.view([M, K], from), all[1]!.view([N, K], from)];
      const c = z.view([M, N], 3);
      run("matmul", x, y, undefined, c, false, true, 1, false);
      const want = Array.from({ length: M * N }, (_, at) => {
        let sum = 0;
        for (let k = 0; k < K; k++)
          sum += a[from + Math.floor(at / N) * K + k]! * b[from + (at % N) * K + k]!;
        return sum;
      });
      expect(relativeError(await c.data(), want), `${dtype} from ${from}`).toBeLessThan(1e-5);
      disposeAll(all, x, y, c);
    }
    disposeAll(z);
  }
});

test.each([
  { rowsOf: [300, 0, 129, 1, 70], N: 3080, K: 40, dtype: "bf16" as DType },
  { rowsOf: [300, 0, 129, 1, 70], N: 3080, K: 40, dtype: "f32" as DType },
  { rowsOf: [9, 0, 33, 1, 16, 2], N: 200, K: 72, dtype: "bf16" as DType },
  { rowsOf: [150, 0, 40], N: 16, K: 136, dtype: "bf16" as DType },
  { rowsOf: [150, 0, 40], N: 16, K: 136, dtype: "f32" as DType },
  { rowsOf: [0, 200, 0, 0], N: 88, K: 1208, dtype: "bf16" as DType },
])(
  "grouped_matmul: $rowsOf rows, $K columns to $N, $dtype, and its gradients",
  async ({ rowsOf, N, K, dtype }) => {
    const random = new Random(N);
    const dev = await opened();
    const E = rowsOf.length;
    const offsets = [0];
    for (const rows of rowsOf) offsets.push(offsets.at(-1)! + rows);
    const R = offsets[E]!;
    const T = 90;
    const rows = Array.from({ length: R }, () => random.below(T));
    const x = make(dtype, [T, K], random);
    const weight = make(dtype, [E, N, K], random);
    const dy = make(dtype, [R, N], random);
    const up = (data: Float64Array, shape: number[]) => dev.tensor(Float32Array.from(data), shape, { dtype });
    const [xt, wt, dyt] = [up(x, [T, K]), up(weight, [E, N, K]), up(dy, [R, N])];
    const offsetsT = dev.tensor(Int32Array.from(offsets), [E + 1]);
    const rowsT = dev.tensor(Int32Array.from(rows), [R]);
    const y = dev.full([R, N], 1);
    const dx = dev.full([R, K], 1);
    const dweight = dev.full([E, N, K], 1);
    run("grouped_matmul", xt, wt, offsetsT, rowsT, y, true, 0.5, true);
    run("grouped_matmul", dyt, wt, offsetsT, undefined, dx, false, 2, false);
    const expertOf = (i: number) => rowsOf.findIndex((_, e) => offsets[e + 1]! > i);
    const compare = (got: ArrayLike<number>, want: (at: number) => number, what: string) => {
      const places = some(got.length, random);
      expect(
        relativeError(
          places.map((at) => got[at]!),
          places.map(want),
        ),
        what,
      ).toBeLessThan(1e-5);
    };
    const dot = (count: number, term: (i: number) => number) => {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += term(i);
      return sum;
    };
    compare(
      await y.data(),
      (at) => {
        const [i, n] = [Math.floor(at / N), at % N];
        return 1 + 0.5 * dot(K, (k) => x[rows[i]! * K + k]! * weight[(expertOf(i) * N + n) * K + k]!);
      },
      "y",
    );
    compare(
      await dx.data(),
      (at) => {
        const [i, k] = [Math.floor(at / K), at % K];
        return 2 * dot(N, (n) => dy[i * N + n]! * weight[(expertOf(i) * N + n) * K + k]!);
      },
      "dx",
    );
    for (const accumulate of [true, false]) {
      run("grouped_matmul_weight_grad", dyt, xt, offsetsT, rowsT, dweight, 0.5, accumulate);
      compare(
        await dweight.data(),
        (at) => {
          const [e, n, k] = [Math.floor(at / (N * K)), Math.floor(at / K) % N, at % K];
          const first = offsets[e]!;
          return (
            (accumulate ? 1 : 0) +
            0.5 * dot(rowsOf[e]!, (i) => dy[(first + i) * N + n]! * x[rows[first + i]! * K + k]!)
          );
        },
        `dweight, accumulate ${accumulate}`,
      );
    }
    disposeAll(xt, wt, dyt, offsetsT, rowsT, y, dx, dweight);
  },
);
