import { expect, test } from "vitest";
import { ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { scale } from "../../lib/ops/add.ts";
import { linear, spec } from "../../lib/ops/linear.ts";
import { checkOp, normal, type OpCase, opened, relativeError, roundBf16 } from "../support/check_op.ts";

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
    // The matrix core's ways: which side is packed, and whether k takes several steps.
    sizes("few rows against many columns, onto", 20, 300, 140, ["onto"]),
    sizes("many rows against few columns", 300, 41, 10),
    sizes("a narrow input", 300, 10, 41),
    sizes("each tile packs its own", 130, 300, 110, ["bias"]),
    sizes("one packing for all tiles", 200, 270, 130),
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
