import { expect, test } from "vitest";
import type { DType } from "../../lib/core/dtype.ts";
import { ConfigError, DeviceError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { type AttentionOptions, attention, spec } from "../../lib/ops/attention.ts";
import { checkOp, normal, type OpCase, opened, relativeError } from "../support/check_op.ts";

const offsetsOf = (lengths: number[]): Int32Array => {
  let end = 0;
  return Int32Array.from([0, ...lengths.map((length) => (end += length))]);
};

const documents = (
  title: string,
  lengths: number[],
  heads: number,
  kvHeads: number,
  width: number,
): OpCase => {
  const T = lengths.reduce((a, b) => a + b, 0);
  return {
    title,
    floats: (random) => ({
      q: normal([T, heads * width], random),
      k: normal([T, kvHeads * width], random),
      v: normal([T, kvHeads * width], random),
    }),
    ints: () => ({ offsets: { shape: [lengths.length + 1], data: offsetsOf(lengths) } }),
  };
};

function oracle(
  { q, k, v }: Record<string, Float64Array>,
  offsets: Int32Array,
  { heads, kvHeads, window = 0, scale }: AttentionOptions,
): Float64Array {
  const width = q!.length / (offsets.at(-1)! || 1) / heads;
  const group = heads / kvHeads;
  const y = new Float64Array(q!.length);
  for (let d = 0; d + 1 < offsets.length; d++) {
    for (let t = offsets[d]!; t < offsets[d + 1]!; t++) {
      const first = window > 0 ? Math.max(offsets[d]!, t - window + 1) : offsets[d]!;
      for (let h = 0; h < heads; h++) {
        const g = Math.floor(h / group);
        const scores: number[] = [];
        for (let s = first; s <= t; s++) {
          let dot = 0;
          for (let i = 0; i < width; i++)
            dot += q![(t * heads + h) * width + i]! * k![(s * kvHeads + g) * width + i]!;
          scores.push(dot * (scale ?? 1 / Math.sqrt(width)));
        }
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((a, b) => a + b, 0);
        weights.forEach((weight, j) => {
          for (let i = 0; i < width; i++)
            y[(t * heads + h) * width + i]! +=
              (weight / total) * v![((first + j) * kvHeads + g) * width + i]!;
        });
      }
    }
  }
  return y;
}

function checkAttention(options: AttentionOptions, cases: OpCase[], gradientFactor?: number): void {
  checkOp({
    gradientFactor,
    spec,
    cases,
    call: ({ q, k, v, offsets }) => attention(q!, k!, v!, offsets!, options),
    oracle: (data, _, { offsets }) => [oracle(data, offsets!, options)],
  });
}

checkAttention({ heads: 1, kvHeads: 1 }, [
  documents("one token", [1], 1, 1, 4),
  documents("31 wide, one empty document", [9, 0, 33, 1], 1, 1, 31),
  documents("33 wide, over one tile", [70], 1, 1, 33),
  documents("no tokens", [0, 0], 1, 1, 8),
]);
checkAttention({ heads: 4, kvHeads: 2, scale: 0.3 }, [
  documents("grouped heads", [5, 20, 0, 3], 4, 2, 16),
  documents("grouped heads, 64 wide", [12, 4], 4, 2, 64),
]);
checkAttention({ heads: 2, kvHeads: 1, window: 7 }, [
  documents("a window shorter than the documents", [3, 90, 0, 7], 2, 1, 8),
]);
checkAttention({ heads: 2, kvHeads: 1 }, [
  documents("128 wide, over one tile", [3, 67], 2, 1, 128),
  documents("80 wide", [34], 2, 1, 80),
  documents("200 wide", [3, 37], 2, 1, 200),
]);
checkAttention({ heads: 12, kvHeads: 1, window: 9 }, [documents("twelve heads on one", [1, 30], 12, 1, 24)]);
checkAttention({ heads: 8, kvHeads: 1 }, [documents("a token or two each", [2, 2, 1], 8, 1, 72)]);
// Gradients in more than one wave: documents of several slices (of 128 rows, when there is little to share out).
checkAttention({ heads: 1, kvHeads: 1 }, [documents("three slices", [270, 3, 129], 1, 1, 1)]);
checkAttention({ heads: 2, kvHeads: 1, window: 140 }, [
  documents("a window longer than a slice", [290], 2, 1, 1),
]);
// One key each: the softmax is 1 whatever q and k are, their gradients are rounding alone.
checkAttention({ heads: 2, kvHeads: 2, window: 1 }, [documents("a window of one", [4, 1], 2, 2, 5)], 200);

for (const dtype of ["f32", "bf16"] as const) {
  for (const window of [0, 6]) {
    test(`attention ${dtype}: keys from a cache, window ${window}, equal keys at hand`, async () => {
      const dev = await opened();
      const random = new Random(7);
      const [heads, kvHeads, width] = [4, 2, 16];
      const lengths = [40, 0, 9, 70]; // of the documents
      const queries = [3, 0, 9, 1]; // the last positions of each
      const starts = [90, 0, 75, 0]; // where their keys lie in the cache
      const T = offsetsOf(lengths).at(-1)!;
      const full = {
        q: normal([T, heads * width], random),
        k: normal([T, kvHeads * width], random),
        v: normal([T, kvHeads * width], random),
      };
      const upload = (data: Float64Array, columns: number) =>
        dev.tensor(Float32Array.from(data), [data.length / columns, columns], { dtype });
      const list = (of: ArrayLike<number>) => dev.tensor(Int32Array.from(of), [of.length]);
      const all = {
        q: upload(full.q.data, heads * width),
        k: upload(full.k.data, kvHeads * width),
        v: upload(full.v.data, kvHeads * width),
        offsets: list(offsetsOf(lengths)),
      };
      const whole = attention(all.q, all.k, all.v, all.offsets, { heads, kvHeads, window });
      const wanted: number[] = [];
      const lastQueries: number[] = [];
      const cacheK = new Float64Array(150 * kvHeads * width).fill(Number.NaN);
      const cacheV = cacheK.slice();
      const y = await whole.data();
      lengths.forEach((length, d) => {
        const begin = offsetsOf(lengths)[d]!;
        const [from, to] = [(begin + length - queries[d]!) * heads * width, (begin + length) * heads * width];
        wanted.push(...y.subarray(from, to));
        lastQueries.push(...full.q.data.subarray(from, to));
        const rows = [begin * kvHeads * width, (begin + length) * kvHeads * width] as const;
        cacheK.set(full.k.data.subarray(...rows), starts[d]! * kvHeads * width);
        cacheV.set(full.v.data.subarray(...rows), starts[d]! * kvHeads * width);
      });
      const cached = {
        q: upload(Float64Array.from(lastQueries), heads * width),
        k: upload(cacheK, kvHeads * width),
        v: upload(cacheV, kvHeads * width),
        offsets: list(offsetsOf(queries)),
      };
      const cache = { starts: list(starts), lengths: list(lengths) };
      const few = attention(cached.q, cached.k, cached.v, cached.offsets, { heads, kvHeads, window, cache });
      expect(relativeError(await few.data(), wanted)).toBeLessThan(spec.tolerance[dtype]);
      disposeAll(all, whole, cached, cache, few);
    });
  }
}

// A GPU takes longer tiles then.
test("attention: bf16, heads enough to keep a large device busy", async () => {
  const dev = await opened();
  const random = new Random(9);
  const [T, heads, width] = [130, 132, 8];
  const options = { heads, kvHeads: heads };
  const shape = [T, heads * width];
  const q = dev.tensor(Float32Array.from(normal(shape, random).data), shape, { dtype: "bf16" });
  const k = dev.tensor(Float32Array.from(normal(shape, random).data), shape, { dtype: "bf16" });
  const v = dev.tensor(Float32Array.from(normal(shape, random).data), shape, { dtype: "bf16" });
  const offsets = dev.tensor(Int32Array.of(0, T), [2]);
  const rounded = async (x: Tensor) => Float64Array.from(await x.data());
  const want = oracle(
    { q: await rounded(q), k: await rounded(k), v: await rounded(v) },
    Int32Array.of(0, T),
    options,
  );
  const y = attention(q, k, v, offsets, options);
  expect(relativeError(await y.data(), want)).toBeLessThan(5e-3);
  disposeAll(q, k, v, offsets, y);
});

test("attention: long bf16 gradients, summed some heads at a time, are the f32 ones rounded", async () => {
  const dev = await opened();
  // On the CPU: T · 3 · 64 floats a head are more than half of 2^24.
  const [T, heads, kvHeads, width] = [process.env.MIXWRIGHT_TEST_DEVICE ? 1000 : 50_000, 2, 2, 64];
  const random = (columns: number, stream: number) => {
    const x = dev.empty([T, columns], "bf16");
    run("random_normal", x, 0, 1, 3, stream);
    return x;
  };
  const [q, k, v, dy] = [heads, kvHeads, kvHeads, heads].map((n, i) => random(n * width, i)) as Tensor[];
  const offsets = dev.tensor(Int32Array.of(0, T), [2]);
  const [y, lse, delta] = [
    dev.empty([T, heads * width], "bf16"),
    dev.empty([T, heads]),
    dev.empty([T, heads]),
  ];
  run("attention", q, k, v, offsets, undefined, undefined, y, lse, heads, kvHeads, 0.125, 3);
  const gradients = (dtype: DType) => {
    const grads = [heads, kvHeads, kvHeads].map((n) => dev.empty([T, n * width], dtype));
    run("attention_grad", dy, q, k, v, y, lse, offsets, ...grads, delta, heads, kvHeads, 0.125, 3);
    return grads;
  };
  const [wide, rounded] = [gradients("f32"), gradients("bf16")];
  for (const [i, grad] of wide.entries()) {
    const half = dev.empty(grad.shape, "bf16");
    run("add", grad, undefined, half, 1, 0);
    expect(
      Buffer.from((await half.data()).buffer).equals(Buffer.from((await rounded[i]!.data()).buffer)),
    ).toBe(true);
    half.dispose();
  }
  disposeAll(q, k, v, dy, offsets, y, lse, delta, wide, rounded);
});

test("attention: heads that don't divide are refused", async () => {
  const dev = await opened();
  const [q, k, offsets] = [dev.full([2, 12]), dev.full([2, 8]), dev.tensor(Int32Array.of(0, 2), [2])];
  for (const [heads, kvHeads] of [
    [5, 2], // 12 / 5
    [3, 1], // heads of 4 and of 8
    [3, 2], // 2 doesn't divide 3
  ] as const) {
    expect(() => attention(q, k, k, offsets, { heads, kvHeads })).toThrow(ConfigError);
  }
  disposeAll(q, k, offsets);
});

test("attention: offsets and caches that don't cover the rows poison the stream", async () => {
  const dev = await opened();
  const q = dev.full([3, 4]);
  const heads = { heads: 1, kvHeads: 1 };
  for (const bad of [
    [0, 2],
    [1, 3],
    [0, 2, 1, 3],
  ]) {
    const offsets = dev.tensor(Int32Array.from(bad), [bad.length]);
    const y = attention(q, q, q, offsets, heads);
    await expect(y.data()).rejects.toThrow(DeviceError);
    dev.reset();
    disposeAll(offsets, y);
  }
  const offsets = dev.tensor(Int32Array.of(0, 3), [2]);
  for (const [start, length] of [
    [1, 3],
    [-1, 3],
    [0, 2],
  ] as const) {
    const cache = {
      starts: dev.tensor(Int32Array.of(start), [1]),
      lengths: dev.tensor(Int32Array.of(length), [1]),
    };
    const y = attention(q, q, q, offsets, { ...heads, cache });
    await expect(y.data(), `${length} keys at ${start}`).rejects.toThrow(DeviceError);
    dev.reset();
    disposeAll(cache, y);
  }
  disposeAll(q, offsets);
});
