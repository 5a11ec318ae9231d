import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { type MuonOptions, muon } from "../../lib/optim/muon.ts";
import { orthogonalize } from "../../lib/optim/newton_schulz.ts";
import { relativeError } from "../support/check_op.ts";
import { type Tensors, thrown } from "../support/optimizers.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2, debug: ["guard"] });
});
afterAll(() => dev.close());

/** Float64, one matrix [N, K]: what the paper's program does, without its bf16. */
function newtonSchulz(g: readonly number[], N: number, K: number): number[] {
  if (N > K) return transpose(newtonSchulz(transpose(g, N, K), K, N), K, N);
  const norm = Math.sqrt(g.reduce((sum, v) => sum + v * v, 0));
  if (norm === 0) return [...g];
  let x = g.map((v) => v / norm);
  for (let step = 0; step < 5; step++) {
    const A = product(x, transpose(x, N, K), N, K, N);
    const AA = product(A, A, N, N, N);
    const B = A.map((v, i) => -4.775 * v + 2.0315 * AA[i]!);
    const Bx = product(B, x, N, N, K);
    x = x.map((v, i) => 3.4445 * v + Bx[i]!);
  }
  return x;
}

const transpose = (x: readonly number[], N: number, K: number): number[] =>
  Array.from({ length: N * K }, (_, i) => x[(i % N) * K + Math.floor(i / N)]!);

const product = (x: readonly number[], y: readonly number[], N: number, M: number, K: number): number[] =>
  Array.from({ length: N * K }, (_, i) => {
    let sum = 0;
    for (let m = 0; m < M; m++) sum += x[Math.floor(i / K) * M + m]! * y[m * K + (i % K)]!;
    return sum;
  });

const normals = (random: Random, count: number): number[] =>
  Array.from({ length: count }, () => Math.fround(random.normal()));

describe("orthogonalize", () => {
  it.each([
    [1, 1, 1],
    [1, 5, 5],
    [3, 7, 31],
    [2, 33, 9],
    [1, 64, 48],
    [2, 1, 6],
  ])("[%i, %i, %i] is float64's, matrix by matrix", async (E, N, K) => {
    const values = normals(new Random(N + K), E * N * K);
    const x = dev.tensor(values, [E, N, K]);
    const y = orthogonalize(x);
    const want = Array.from({ length: E }, (_, e) =>
      newtonSchulz(values.slice(e * N * K, (e + 1) * N * K), N, K),
    ).flat();
    expect(relativeError(await y.data(), want)).toBeLessThan(1e-5);
    disposeAll(x, y);
  });

  it("singular values of 1 to 0.01 come near 1; zeros stay", async () => {
    const sizes = [1, 0.5, 0.1, 0.03, 0.01];
    const x = dev.tensor(
      [...sizes.flatMap((s, i) => sizes.map((_, j) => (i === j ? s : 0))), ...new Array(25).fill(0)],
      [2, 5, 5],
    );
    const y = orthogonalize(x);
    const got = await y.data();
    for (let i = 0; i < 50; i++) {
      if (i < 25 && i % 6 === 0) expect(Math.abs(got[i]! - 0.95)).toBeLessThan(0.3);
      else expect(got[i]).toBe(0);
    }
    disposeAll(x, y);
  });
});

describe("muon", () => {
  const shapes: Record<string, number[]> = {
    "layers.0.q.weight": [6, 4],
    "layers.1.q.weight": [6, 4],
    "layers.0.experts": [3, 4, 5],
    "model.embed_tokens.weight": [8, 4],
    "norm.weight": [4],
  };
  const matrices = Object.keys(shapes).slice(0, 3);

  /** Float64: AdamW of one parameter. */
  function adamwStep(
    p: number[],
    g: number[],
    m: number[],
    v: number[],
    t: number,
    lr: number,
    decay: number,
  ) {
    for (const i of p.keys()) {
      m[i] = 0.9 * m[i]! + 0.1 * g[i]!;
      v[i] = 0.999 * v[i]! + 0.001 * g[i]! ** 2;
      const step = m[i]! / (1 - 0.9 ** t) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8);
      p[i] = p[i]! - lr * decay * p[i]! - lr * step;
    }
  }

  const cases: [string, MuonOptions, number][] = [
    ["as it comes", { lr: 0.02 }, Number.POSITIVE_INFINITY],
    ["clipped, with two rates", { lr: (t) => 0.01 * (t + 1), adamw: { lr: 0.004, weightDecay: 0 } }, 1],
    ["without Nesterov", { lr: 0.02, nesterov: false, momentum: 0.8, weightDecay: 0 }, 3],
    ["without momentum", { lr: 0.02, nesterov: false, momentum: 0 }, Number.POSITIVE_INFINITY],
    [
      "original scale, 1-D without decay",
      { lr: 0.02, adjustLr: "original", adamw: { lr: 0.001 }, decay: (_, shape) => shape.length > 1 },
      Number.POSITIVE_INFINITY,
    ],
  ];

  it.each(cases)("%s: float64's parameters after each step", async (_, options, maxNorm) => {
    const { lr = 0, momentum = 0.95, nesterov = true, weightDecay = 0.1, adjustLr, decay } = options;
    const { lr: otherLr = lr, weightDecay: otherDecay = weightDecay } = options.adamw ?? {};
    const at = (rate: typeof lr, t: number) => (typeof rate === "number" ? rate : rate(t));
    const random = new Random(11);
    const sizes = Object.entries(shapes).map(([key, shape]) => [key, shape.reduce((a, b) => a * b)] as const);
    const want = Object.fromEntries(sizes.map(([key, size]) => [key, normals(random, size)]));
    const zeros = () =>
      Object.fromEntries(sizes.map(([key, size]) => [key, new Array<number>(size).fill(0)]));
    const [first, second] = [zeros(), zeros()];
    const params = tensorsOf(want, shapes);
    const run = (maxNorm < 9 ? chain(clipByGlobalNorm(maxNorm), muon(options)) : muon(options)).init(params);
    for (let t = 0; t < 6; t++) {
      const raw = Object.fromEntries(sizes.map(([key, size]) => [key, normals(random, size)]));
      const grads = tensorsOf(raw, shapes);
      run.step(grads).gradNorm.dispose();
      disposeAll(grads);
      const norm = Math.sqrt(
        Object.values(raw)
          .flat()
          .reduce((sum, g) => sum + g * g, 0),
      );
      const clip = Math.min(1, maxNorm / (norm + 1e-6));
      for (const [key, shape] of Object.entries(shapes)) {
        const p = want[key]!;
        const g = raw[key]!.map((v) => v * clip);
        const decays = decay?.(key, shape) ?? true;
        if (!matrices.includes(key)) {
          adamwStep(p, g, first[key]!, second[key]!, t + 1, at(otherLr, t), decays ? otherDecay : 0);
          continue;
        }
        const m = first[key]!;
        for (const i of m.keys()) m[i] = momentum * m[i]! + g[i]!;
        const direction = m.map((v, i) => (nesterov ? g[i]! + momentum * v : v));
        const [N = 1, K = 1] = shape.slice(-2);
        const scale =
          adjustLr === "original" ? Math.sqrt(Math.max(1, N / K)) : 0.2 * Math.sqrt(Math.max(N, K));
        for (let e = 0; e < p.length; e += N * K) {
          const O = newtonSchulz(direction.slice(e, e + N * K), N, K);
          for (const [i, o] of O.entries()) {
            const rate = at(lr, t);
            p[e + i] = p[e + i]! * (1 - rate * (decays ? weightDecay : 0)) - rate * scale * o;
          }
        }
      }
      for (const key of Object.keys(shapes)) {
        expect(relativeError(await params[key]!.data(), want[key]!), `${key} at ${t}`).toBeLessThan(2e-6);
      }
    }
    const kinds = (kind: string) =>
      Object.keys(run.state()).flatMap((name) =>
        name.startsWith(`${kind}.`) ? [name.slice(kind.length + 1)] : [],
      );
    expect(kinds("momentum")).toEqual(momentum === 0 ? [] : matrices);
    expect(kinds("first")).toEqual(["model.embed_tokens.weight", "norm.weight"]);
    run.dispose();
    disposeAll(params);
  });

  function tensorsOf(values: Record<string, number[]>, of: Record<string, number[]>): Tensors {
    return Object.fromEntries(
      Object.entries(of).map(([key, shape]) => [key, dev.tensor(values[key]!, shape)]),
    );
  }

  it("an update of the default scale is about as long as AdamW's at the same rate", async () => {
    const random = new Random(4);
    const shape = [64, 96];
    const lengths = [];
    for (const optimizer of [muon({ lr: 1, weightDecay: 0 }), adamw({ lr: 1, weightDecay: 0 })]) {
      const params = { w: dev.full(shape, 0) };
      const grads = { w: dev.tensor(normals(random, 64 * 96), shape) };
      const run = optimizer.init(params);
      run.step(grads).gradNorm.dispose();
      const w = Array.from(await params.w.data());
      lengths.push(Math.sqrt(w.reduce((sum, v) => sum + v * v, 0) / w.length));
      run.dispose();
      disposeAll(params, grads);
    }
    // The first update of AdamW is its longest, 1; later ones are 0.2 to 0.4.
    expect(lengths[1]).toBeCloseTo(1, 4);
    expect(lengths[0]).toBeGreaterThan(0.14);
    expect(lengths[0]).toBeLessThan(0.24);
  });

  it("matrices may be chosen; what is no matrix never is one", async () => {
    const params = { a: dev.full([3, 3], 1), b: dev.full([3, 3], 1), c: dev.full([3], 1) };
    const run = muon({ matrices: (name) => name !== "a" }).init(params);
    expect(Object.keys(run.state()).sort()).toEqual([
      "first.a",
      "first.c",
      "momentum.b",
      "second.a",
      "second.c",
    ]);
    run.dispose();
    disposeAll(params);
  });

  it("settings out of range are refused by name", () => {
    const keys = [
      () => muon({ momentum: 1 }),
      () => muon({ momentum: 0 }),
      () => muon({ adjustLr: "half" as never }),
      () => muon({ adjustLr: "original" }),
      () => muon({ adamw: { momentum: 1 } as never }),
      () => muon({ adamw: { betas: [1, 0] } }),
      () => muon({ weightDecay: -1 }),
      () => muon({ steps: 3 } as never),
    ].map((make) => thrown(make).key);
    const want = [
      "momentum",
      "nesterov",
      "adjustLr",
      "adamw.lr",
      "momentum",
      "betas[0]",
      "weightDecay",
      "steps",
    ];
    expect(keys).toEqual(want);
  });
});
