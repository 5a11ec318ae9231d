import { expect, test } from "vitest";
import { disposeAll } from "../../lib/core/tape.ts";
import { doraCompose, doraNorm, normSpec, rowSumSquares, spec } from "../../lib/ops/dora.ts";
import { checkOp, normal, type OpCase, opened } from "../support/check_op.ts";

const rows = (title: string, offsets: number[], N: number, extras: "bias"[] = []): OpCase => {
  const E = offsets.length - 1;
  return {
    title,
    floats: (random) => {
      const norm = normal([E, N], random);
      return {
        v: normal([offsets.at(-1)!, N], random),
        magnitude: normal([E, N], random),
        norm: { ...norm, data: norm.data.map((x) => 0.5 + Math.abs(x)) },
        ...(extras.includes("bias") ? { bias: normal([N], random) } : {}),
      };
    },
    ...(E === 1 ? {} : { ints: () => ({ offsets: { shape: [E + 1], data: Int32Array.from(offsets) } }) }),
  };
};

checkOp({
  spec,
  cases: [
    rows("three experts, one without rows, a bias", [0, 2, 2, 5], 3, ["bias"]),
    rows("one row", [0, 1], 1),
    rows("one expert, 31 columns, a bias", [0, 33], 31, ["bias"]),
    rows("33 columns, over one block of rows", [0, 0, 90, 120], 33),
    rows("no rows", [0, 0, 0], 8, ["bias"]),
  ],
  gradientOf: ["v", "magnitude", "bias"],
  call: ({ v, magnitude, norm, bias, offsets }) => doraCompose(v!, magnitude!, norm!, { bias, offsets }),
  oracle: ({ v, magnitude, norm, bias }, shapes, { offsets }) => {
    const N = shapes.v![1]!;
    return [
      v!.map((value, i) => {
        const [row, n] = [Math.floor(i / N), i % N];
        const e =
          offsets === undefined ? 0 : offsets.findIndex((begin, j) => begin <= row && row < offsets[j + 1]!);
        return (magnitude![e * N + n]! / norm![e * N + n]!) * value + (bias?.[n] ?? 0);
      }),
    ];
  },
});

test("doraCompose: a norm of 0 gives factor 0", async () => {
  const dev = await opened();
  const [v, magnitude, norm] = [dev.full([2, 2], 3), dev.full([1, 2], 4), dev.tensor([0, 2], [1, 2])];
  const y = doraCompose(v, magnitude, norm);
  expect([...(await y.data())]).toEqual([0, 6, 0, 6]);
  disposeAll(v, magnitude, norm, y);
});

const scaling = 0.5;
const weights = (title: string, E: number, N: number, K: number, r: number): OpCase => ({
  title,
  floats: (random) => ({
    weight: normal([E, N, K], random),
    a: normal([E, r, K], random),
    b: normal([E, N, r], random),
  }),
});

checkOp({
  spec: normSpec,
  cases: [
    weights("one element", 1, 1, 1, 1),
    weights("three experts, 31 columns", 3, 5, 31, 2),
    weights("33 columns, 70 rows", 2, 70, 33, 8),
    weights("rank 17, 300 columns", 1, 9, 300, 17),
    weights("over one piece of K", 1, 8, 2100, 3),
    weights("no rows", 2, 0, 4, 2),
  ],
  gradientOf: [],
  call: ({ weight, a, b }) => doraNorm(weight!, rowSumSquares(weight!), a!, b!, scaling),
  oracle: ({ weight, a, b }, shapes) => {
    const [E, N, K] = shapes.weight as [number, number, number];
    const r = shapes.a![1]!;
    return [
      Float64Array.from({ length: E * N }, (_, row) => {
        const e = Math.floor(row / N);
        let square = 0;
        for (let k = 0; k < K; k++) {
          let w = weight![row * K + k]!;
          for (let j = 0; j < r; j++) w += scaling * b![row * r + j]! * a![(e * r + j) * K + k]!;
          square += w * w;
        }
        return Math.sqrt(square);
      }),
    ];
  },
});

test("doraNorm: an adapter that cancels the weight gives about 0, never NaN", async () => {
  const dev = await opened();
  const rank1 = Float32Array.from({ length: 7 }, (_, k) => 0.1 * (k + 1) ** 1.5);
  const a = dev.tensor(rank1, [1, 1, 7]);
  const b = dev.tensor([0.3, -1.7], [1, 2, 1]);
  const weight = dev.tensor(
    [0.3, -1.7].flatMap((factor) => [...rank1].map((x) => -factor * x)),
    [1, 2, 7],
  );
  const square = rowSumSquares(weight);
  const norm = doraNorm(weight, square, a, b, 1);
  for (const value of await norm.data()) {
    expect(value).toBeGreaterThanOrEqual(0);
    expect(value).toBeLessThan(2e-2);
  }
  disposeAll(a, b, weight, square, norm);
});
