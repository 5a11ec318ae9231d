import { expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { withRandomStreams } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { lowRankLinear, spec } from "../../lib/ops/low_rank.ts";
import { checkOp, normal, type OpCase, opened } from "../support/check_op.ts";
import { philox } from "../support/philox.ts";

type Extra = "magnitude" | "small magnitude" | "bias";
const sizes = (title: string, T: number, K: number, N: number, r: number, extras: Extra[] = []): OpCase => ({
  title,
  floats: (random) => {
    const norm = normal([N], random);
    return {
      x: normal([T, K], random),
      weight: normal([N, K], random),
      a: normal([r, K], random),
      b: normal([N, r], random),
      ...(extras[0] !== "bias" &&
        extras.length > 0 && {
          magnitude: normal([N], random, extras[0] === "magnitude" ? 1 : 1e-3),
          norm: { ...norm, data: norm.data.map((x) => 0.5 + Math.abs(x)) },
        }),
      ...(extras.includes("bias") && { bias: normal([N], random) }),
    };
  },
});

const at = { seed: 2 ** 40 + 3, first: 5 };
const scaling = 0.5;

/** `dropped` decides each element of x by its own number, so central differences show the same mask in the gradient. */
const checkWith = (p: number, title: string, cases: OpCase[]) =>
  checkOp({
    spec: { ...spec, tolerance: { ...spec.tolerance, bf16: 2e-2 } },
    cases: cases.map((c) => ({ ...c, title: `${title}, ${c.title}` })),
    gradientOf: ["x", "weight", "a", "b", "magnitude", "bias"],
    call: ({ x, weight, a, b, ...rest }) =>
      withRandomStreams(at, () => lowRankLinear(x!, weight!, a!, b!, { scaling, dropout: p, ...rest })),
    oracle: (() => {
      const draws: number[] = [];
      return ({ x, weight, a, b, magnitude, norm, bias }, shapes) => {
        for (let i = draws.length; i < x!.length; i += 4)
          draws.push(...philox(at.seed, at.first, i / 4).map((word) => Math.floor(word / 2 ** 8) / 2 ** 24));
        const [T, K] = shapes.x as [number, number];
        const [N, r] = shapes.b as [number, number];
        const y = new Float64Array(T * N);
        for (let t = 0; t < T; t++) {
          const low = new Float64Array(r);
          for (let k = 0; k < K; k++) {
            const kept = draws[t * K + k]! >= p ? x![t * K + k]! / (1 - p) : 0;
            for (let j = 0; j < r; j++) low[j]! += kept * a![j * K + k]!;
          }
          for (let n = 0; n < N; n++) {
            let v = 0;
            for (let k = 0; k < K; k++) v += x![t * K + k]! * weight![n * K + k]!;
            for (let j = 0; j < r; j++) v += scaling * low[j]! * b![n * r + j]!;
            y[t * N + n] = (magnitude ? magnitude[n]! / norm![n]! : 1) * v + (bias?.[n] ?? 0);
          }
        }
        return [y];
      };
    })(),
  });

checkWith(0, "LoRA", [
  sizes("one element", 1, 1, 1, 1),
  sizes("31 to 35 columns, a bias", 19, 31, 35, 5, ["bias"]),
  sizes("one row, rank 17", 1, 40, 50, 17),
]);
checkWith(0, "DoRA", [
  sizes("two tiles of rows", 242, 3, 5, 2, ["magnitude"]),
  sizes("two tiles of columns", 5, 3, 290, 2, ["magnitude"]),
  sizes("rank 16", 20, 33, 31, 16, ["magnitude"]),
  sizes("a bias", 50, 30, 7, 3, ["magnitude", "bias"]),
  sizes("magnitudes near 0, a bias", 250, 3, 6, 2, ["small magnitude", "bias"]),
  sizes("no rows", 0, 8, 8, 2, ["magnitude"]),
]);
checkWith(0.3, "dropout", [
  sizes("K 31", 20, 31, 33, 4),
  sizes("K over one piece", 7, 530, 5, 8, ["magnitude"]),
  sizes("more rows than are taken at a time", 70, 9, 11, 3, ["magnitude", "bias"]),
]);

test("lowRankLinear: a norm of 0 gives factor 0", async () => {
  const dev = await opened();
  const t = [
    dev.full([3, 2], 1),
    dev.full([2, 2], 1),
    dev.full([1, 2], 0),
    dev.full([2, 1], 0),
    dev.tensor([4, 4], [2]),
    dev.tensor([0, 2], [2]),
  ] as const;
  const [x, weight, a, b, magnitude, norm] = t;
  const y = lowRankLinear(x, weight, a, b, { scaling, magnitude, norm });
  expect([...(await y.data())]).toEqual([0, 4, 0, 4, 0, 4]);
  disposeAll(t, y);
});

test("lowRankLinear: a rate out of range is refused", async () => {
  const dev = await opened();
  const square = dev.full([2, 2]);
  for (const bad of [1, -0.1, Number.NaN]) {
    expect(() => lowRankLinear(square, square, square, square, { scaling, dropout: bad })).toThrow(
      ConfigError,
    );
  }
  square.dispose();
});
