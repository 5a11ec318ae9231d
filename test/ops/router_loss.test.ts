import { expect, test } from "vitest";
import { ShapeError } from "../../lib/core/errors.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { router } from "../../lib/ops/router.ts";
import {
  type LoadBalancing,
  loadBalancingLoss,
  routerZLoss,
  spec,
  zSpec,
} from "../../lib/ops/router_loss.ts";
import { checkOp, normal, type OpCase, opened } from "../support/check_op.ts";
import { softmaxRows, topOf } from "../support/routing.ts";

const K = 2;
const sizes = (title: string, T: number, E: number, layers: number): OpCase => ({
  title,
  floats: (random) =>
    Object.fromEntries(Array.from({ length: layers }, (_, l) => [`layer${l}`, normal([T, E], random)])),
});
const cases = (name: string) => [
  sizes(`${name}, two layers of 4 experts`, 1, 4, 2),
  sizes(`${name}, three of 31`, 33, 31, 3),
  sizes(`${name}, one of 33`, 70, 33, 1),
  sizes(`${name}, no tokens`, 0, 8, 2),
];

const balancing: Record<LoadBalancing, (layers: Float64Array[], E: number) => number> = {
  // Every layer's tokens in one long list.
  hf: (layers, E) => {
    const probs = layers.flatMap((z) => [...softmaxRows(z, E)]);
    return E * choicesTimesProbability(Float64Array.from(probs), E);
  },
  switch: (layers, E) =>
    layers.reduce(
      (sum, z) => sum + ((E / K) * choicesTimesProbability(softmaxRows(z, E), E)) / layers.length,
      0,
    ),
};

// Σ_e (choices of e, per token) · (mean probability of e)
function choicesTimesProbability(probs: Float64Array, E: number): number {
  const T = probs.length / E;
  const count = new Float64Array(E);
  const mean = new Float64Array(E);
  for (let t = 0; t < T; t++) {
    const row = probs.subarray(t * E, t * E + E);
    for (const e of topOf(row, K)) count[e]! += 1 / T;
    row.forEach((p, e) => {
      mean[e]! += p / T;
    });
  }
  return count.reduce((sum, c, e) => sum + c * mean[e]!, 0);
}

for (const convention of ["hf", "switch"] as const) {
  checkOp({
    spec,
    cases: cases(convention),
    call: (logits) =>
      loadBalancingLoss(
        Object.values(logits).map((z) => router(z, { topK: K, renormalize: true })),
        convention,
      ),
    oracle: (layers, shapes) => [
      Float64Array.of(balancing[convention](Object.values(layers), shapes.layer0![1]!)),
    ],
  });
}

checkOp({
  spec: zSpec,
  cases: cases("z"),
  call: (logits) => routerZLoss(Object.values(logits).map((z) => router(z, { topK: K, renormalize: true }))),
  oracle: (layers, shapes) => {
    const E = shapes.layer0![1]!;
    const all = Object.values(layers).flatMap((z) =>
      Array.from({ length: z.length / E }, (_, t) => z.subarray(t * E, t * E + E)),
    );
    const square = (row: Float64Array) => Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0)) ** 2;
    return [Float64Array.of(all.reduce((sum, row) => sum + square(row) / all.length, 0))];
  },
});

async function losses(rows: number[][], topK: number): Promise<[number, number, number]> {
  const dev = await opened();
  const logits = dev.tensor(rows.flat(), [rows.length, rows[0]!.length]);
  const routing = router(logits, { topK, renormalize: true });
  const all = [
    loadBalancingLoss([routing], "hf"),
    loadBalancingLoss([routing], "switch"),
    routerZLoss([routing]),
  ];
  const values = await Promise.all(all.map((loss) => loss.item()));
  disposeAll(routing, all);
  return values as [number, number, number];
}

test("router losses: the values of algorithms.md §4.1 M4 and M5", async () => {
  const m2 = [2, 1, 0, -1];
  const [hf, perLayer, z] = await losses([m2, m2], 2);
  expect(hf).toBeCloseTo(3.523188, 5);
  expect(perLayer).toBeCloseTo(1.761594, 5);
  expect(z).toBeCloseTo(5.954526, 5);
  for (const [E, square] of [
    [4, 1.921812],
    [8, 4.324077],
    [64, 17.296309],
    [128, 23.542198],
  ] as const) {
    const uniform = await losses([Array(E).fill(0)], 2);
    expect(uniform[0]).toBeCloseTo(2, 5);
    expect(uniform[1]).toBeCloseTo(1, 5);
    expect(uniform[2]).toBeCloseTo(square, 4);
  }
  const collapsed = await losses([[50, 50, 0, 0, 0, 0, 0, 0]], 2);
  expect(collapsed[0]).toBeCloseTo(8, 5);
  expect(collapsed[1]).toBeCloseTo(4, 5);
});

test("router losses: no layer, or layers of two sizes, are refused", async () => {
  const dev = await opened();
  expect(() => loadBalancingLoss([], "hf")).toThrow(ShapeError);
  expect(() => routerZLoss([])).toThrow(ShapeError);
  const zeros = [dev.full([2, 4]), dev.full([2, 5])];
  const layers = zeros.map((z) => router(z, { topK: 1, renormalize: false }));
  expect(() => loadBalancingLoss(layers, "switch")).toThrow(ShapeError);
  disposeAll(layers, zeros);
});
