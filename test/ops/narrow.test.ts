import { expect, test } from "vitest";
import type { DType } from "../../lib/core/dtype.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { normal, opened, relativeError, roundBf16 } from "../support/check_op.ts";
import { philox } from "../support/philox.ts";

// Products with a narrow side, in sizes that reach every tile, part and tail of a device. What is summed in f32 is compared with
// float64 as closely for a bf16 side as for two f32 ones: a device may not round the f32 side to bf16.

const kClose = 1e-5;
const make = (dtype: DType, size: number, random: Random): Float64Array =>
  normal([size], random).data.map(dtype === "bf16" ? roundBf16 : Math.fround);

/** Σ_d left(i, d) · right(d, j), rows × cols. */
function product(
  [rows, depth, cols]: [number, number, number],
  left: (i: number, d: number) => number,
  right: (d: number, j: number) => number,
): Float64Array {
  const out = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++) {
    for (let d = 0; d < depth; d++) {
      const factor = left(i, d);
      for (let j = 0; j < cols; j++) out[i * cols + j]! += factor * right(d, j);
    }
  }
  return out;
}

interface Case {
  T: number;
  K: number;
  N: number;
  r: number;
  wide: DType;
  narrow: DType;
  /** Where in their memory the wide operands begin. */
  from: number;
}

/** Ranks on both sides of what a tile takes, the other sizes at random. */
const cases = [1, 3, 8, 16, 17, 20, 32, 33, 48, 64, 65, 132].flatMap((r): Case[] => {
  const random = new Random(r);
  const size = (most: number) =>
    random.below(2) === 0 ? 1 + random.below(most) : 4 * (1 + random.below(most / 4));
  return (["bf16", "f32"] as const).map((wide) => ({
    T: size(330),
    K: size(330),
    N: size(200),
    r,
    wide,
    narrow: random.below(3) === 0 ? "bf16" : "f32",
    from: 4 * random.below(2) + random.below(2),
  }));
});

test.each(cases)("narrow products: $T, $K, $N, rank $r, $wide with $narrow, from $from", async (of) => {
  const { T, K, N, r, wide, narrow, from } = of;
  const random = new Random(T + K + N);
  const dev = await opened();
  const held: { dispose(): void }[] = [];
  const up = (data: Float64Array, shape: number[], dtype: DType, at = 0) => {
    const memory = dev.tensor(Float32Array.from([...Array(at).fill(7), ...data]), [at + data.length], {
      dtype,
    });
    const tensor = memory.view(shape, at);
    held.push(memory, tensor);
    return tensor;
  };
  const wideOne = (rows: number, cols: number) => {
    const data = make(wide, rows * cols, random);
    return [data, up(data, [rows, cols], wide, from)] as const;
  };
  const narrowOne = (rows: number, cols: number, dtype: DType = narrow) => {
    const data = make(dtype, rows * cols, random);
    return [data, up(data, [rows, cols], dtype)] as const;
  };
  const out = (...shape: number[]) => {
    const tensor = dev.full(shape, 1);
    held.push(tensor);
    return tensor;
  };
  const close = async (got: { data(): Promise<ArrayLike<number>> }, want: ArrayLike<number>, what: string) =>
    expect(relativeError(await got.data(), want), what).toBeLessThan(kClose);

  const [x, xT] = wideOne(T, K);
  const [a, aT] = narrowOne(r, K);
  const [dlow, dlowT] = narrowOne(T, r, "f32");
  const [p, seed, stream] = [0.3, 11, 3];
  const draws: number[] = [];
  for (let i = 0; i < T * K; i += 4)
    draws.push(...philox(seed, stream, i / 4).map((word) => Math.floor(word / 2 ** 8) / 2 ** 24));
  for (const rate of [0, p]) {
    const kept = (t: number, k: number) =>
      rate === 0 || draws[t * K + k]! >= rate ? x[t * K + k]! / (1 - rate) : 0;
    const [low, da] = [out(T, r), out(r, K)];
    run("low_rank_down", xT, aT, low, rate, seed, stream);
    await close(
      low,
      product([T, K, r], kept, (k, j) => a[j * K + k]!),
      `low, rate ${rate}`,
    );
    run("low_rank_down_grad", xT, dlowT, da, rate > 0, rate, seed, stream);
    const sums = product([r, T, K], (j, t) => dlow[t * r + j]!, kept);
    await close(da, rate > 0 ? sums.map((sum) => sum + 1) : sums, `da, rate ${rate}`);
  }

  const scale = 0.5;
  const [dy, dyT] = wideOne(T, N);
  const [y, yT] = wideOne(T, N);
  const [weight, weightT] = wideOne(N, K);
  const [low, lowT] = narrowOne(T, r, "f32");
  const [b, bT] = narrowOne(N, r);
  const [magnitude, magnitudeT] = narrowOne(N, 1, "f32");
  const norm = make("f32", N, random).map((v) => Math.fround(0.5 + Math.abs(v)));
  const normT = up(norm, [N], "f32");
  const [bias, biasT] = narrowOne(N, 1);
  const factor = (n: number) => magnitude[n]! / norm[n]!;
  const added = product(
    [T, r, N],
    (t, j) => low[t * r + j]!,
    (j, n) => b[n * r + j]!,
  );
  const base = product(
    [T, K, N],
    (t, k) => x[t * K + k]!,
    (k, n) => weight[n * K + k]!,
  );
  for (const shift of [undefined, bias]) {
    // A bf16 y with a bias doesn't say v closely enough: it is computed again.
    const again = shift !== undefined && wide === "bf16";
    const v = (t: number, n: number) =>
      again ? base[t * N + n]! + scale * added[t * N + n]! : (y[t * N + n]! - (shift?.[n] ?? 0)) / factor(n);
    const [dlowOut, db, dmagnitude] = [out(T, r), out(N, r), out(N)];
    const dv = dev.full([T, N], 1, wide);
    held.push(dv);
    const kept = [lowT, bT, magnitudeT.view([N]), normT, shift && biasT.view([N])];
    held.push(kept[2]!, ...(kept[4] ? [kept[4]] : []));
    run("low_rank_grad", dyT, yT, xT, weightT, ...kept, dv, dlowOut, db, true, dmagnitude, false, scale);
    const scaled = (t: number, n: number) => factor(n) * dy[t * N + n]!;
    const what = shift ? "a bias" : "no bias";
    await close(
      dlowOut,
      product(
        [T, N, r],
        (t, n) => scale * scaled(t, n),
        (n, j) => b[n * r + j]!,
      ),
      `dlow, ${what}`,
    );
    const sums = product(
      [N, T, r],
      (n, t) => scale * scaled(t, n),
      (t, j) => low[t * r + j]!,
    );
    await close(
      db,
      sums.map((sum) => 1 + sum),
      `db, ${what}`,
    );
    const small = (n: number) => Math.abs(factor(n)) < 2 ** -6;
    const got = await dmagnitude.data();
    const large = [...Array(N).keys()].filter((n) => again || shift === undefined || !small(n));
    const want = large.map((n) => {
      let sum = 0;
      for (let t = 0; t < T; t++) sum += dy[t * N + n]! * v(t, n);
      return sum / norm[n]!;
    });
    expect(
      relativeError(
        large.map((n) => got[n]!),
        want,
      ),
      `dmagnitude, ${what}`,
    ).toBeLessThan(kClose);
    const rounded = Float64Array.from({ length: T * N }, (_, i) => scaled(Math.floor(i / N), i % N));
    expect(relativeError(await dv.data(), rounded)).toBeLessThan(wide === "bf16" ? 4e-3 : kClose);
  }
  disposeAll(held);
});

test.each(["bf16", "f32"] as const)("dora_norm: experts in %s, adapters in f32", async (wide) => {
  const random = new Random(6);
  const dev = await opened();
  for (const [E, N, K, r] of [
    [3, 70, 300, 16],
    [2, 129, 65, 40],
    [1, 5, 530, 70],
  ] as const) {
    const [weight, a, b] = [
      make(wide, E * N * K, random),
      make("f32", E * r * K, random),
      make("f32", E * N * r, random),
    ];
    const up = (data: Float64Array, shape: number[], dtype: DType) =>
      dev.tensor(Float32Array.from(data), shape, { dtype });
    const all = [up(weight, [E, N, K], wide), up(a, [E * r, K], "f32"), up(b, [E, N, r], "f32")] as const;
    const [square, norm] = [dev.full([E, N], 1), dev.full([E, N], 1)];
    run("row_sum_squares", all[0], square);
    run("dora_norm", all[0], square, all[1], all[2], norm, 0.5);
    const want = Array.from({ length: E * N }, (_, row) => {
      const e = Math.floor(row / N);
      let sum = 0;
      for (let k = 0; k < K; k++) {
        let w = weight[row * K + k]!;
        for (let j = 0; j < r; j++) w += 0.5 * b[row * r + j]! * a[(e * r + j) * K + k]!;
        sum += w * w;
      }
      return Math.sqrt(sum);
    });
    expect(relativeError(await norm.data(), want), `${E} × ${N} × ${K}, rank ${r}`).toBeLessThan(kClose);
    disposeAll(all, square, norm);
  }
});

test("narrow products: what is infinite stays infinite, and NaN NaN", async () => {
  const dev = await opened();
  const x = dev.tensor([1, 0.5, 2, 0], [1, 4], { dtype: "bf16" });
  const a = dev.tensor([Infinity, 1, 1, 1, 1, -Infinity, 1, 1, 1, 1, NaN, 1, 1, 1, 1, 3], [4, 4]);
  const low = dev.full([1, 4], 1);
  run("low_rank_down", x, a, low, 0, 0, 0);
  expect([...(await low.data())]).toEqual([Infinity, -Infinity, Number.NaN, 3.5]);
  disposeAll(x, a, low);
});
