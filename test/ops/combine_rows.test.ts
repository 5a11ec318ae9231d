import { permutation, type Random } from "../../lib/core/random.ts";
import { combineRows, spec } from "../../lib/ops/combine_rows.ts";
import { checkOp, normal, type OpCase } from "../support/check_op.ts";

const sizes = (title: string, T: number, K: number, D: number): OpCase => ({
  title,
  floats: (random) => ({ y: normal([T * K, D], random), weights: normal([T, K], random) }),
  ints: (random: Random) => ({
    positions: { shape: [T * K], data: permutation(T * K, random.below(1000)) },
  }),
});

checkOp({
  spec,
  cases: [
    sizes("one row", 1, 1, 1),
    sizes("31 columns", 9, 2, 31),
    sizes("33 columns", 40, 3, 33),
    sizes("no tokens", 0, 2, 8),
    sizes("132 columns, 6 rows a token", 7, 6, 132),
  ],
  call: ({ y, weights, positions }) => combineRows(y!, weights!, positions!),
  oracle: ({ y, weights }, shapes, { positions }) => {
    const [T, K] = shapes.weights as [number, number];
    const D = shapes.y![1]!;
    const out = new Float64Array(T * D);
    for (let i = 0; i < out.length; i++) {
      const [t, d] = [Math.floor(i / D), i % D];
      for (let slot = t * K; slot < t * K + K; slot++)
        out[i]! += weights![slot]! * y![positions![slot]! * D + d]!;
    }
    return [out];
  },
});
