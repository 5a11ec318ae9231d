// T tokens, D model, E experts, K chosen, R = T·K routed rows, F hidden, N outputs, r rank
import { LowRank } from "../../lib/adapters/low_rank.ts";
import { run } from "../../lib/core/run.ts";
import { SparseMoe } from "../../lib/nn/experts.ts";
import { Linear } from "../../lib/nn/linear.ts";
import { attention } from "../../lib/ops/attention.ts";
import { groupedMatmul } from "../../lib/ops/grouped_matmul.ts";
import { linear } from "../../lib/ops/linear.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { routed } from "../routing.ts";
import type { Operands } from "../workload.ts";
import { type DuelCase, forwardDuel, inPython, sumOfSquares, trainingDuel } from "./peer_case.ts";

interface Sizes {
  T: number;
  K: number;
  E: number;
  D: number;
  F: number;
}

const few: Sizes = { T: 2048, K: 2, E: 8, D: 512, F: 1024 };
const many: Sizes = { T: 2048, K: 8, E: 64, D: 512, F: 128 };
const named = ({ T, K, E, D, F }: Sizes): string => `T ${T} E ${E} K ${K}, ${D}→${F}`;

const sgemm = (n: number, dtype: "f32" | "bf16"): DuelCase => ({
  title: `matmul ${n}`,
  dtype,
  make: (o) => {
    const inputs = { x: o.normal([n, n]), weight: o.normal([n, n]) };
    return forwardDuel(() => linear(inputs.x, inputs.weight), {
      inputs,
      peers: inPython("matmul", { "torch.matmul": {} }),
    });
  },
});

const grouped = (sizes: Sizes, train: boolean): DuelCase => ({
  title: `grouped GEMM, ${named(sizes)}, ${train ? "fwd+bwd" : "fwd"}`,
  dtype: "f32",
  make: (o) => {
    const { T, K, E, D, F } = sizes;
    const x = o.normal([T * K, D]);
    const weight = o.normal([E, F, D], { std: 0.02 });
    const { offsets } = sortByExpert(o.ints(routed("zipf", E, T * K), [T, K]), E);
    const call = () => groupedMatmul(x, weight, { offsets });
    const settings = { loop: { kind: "loop" }, _grouped_mm: { kind: "grouped" } };
    const rest = { inputs: { x, weight, offsets }, peers: inPython("grouped", settings) };
    return train ? trainingDuel(o, call, [[x], [weight]], rest) : forwardDuel(call, rest);
  },
});

const moe = (sizes: Sizes, dtype: "f32" | "bf16"): DuelCase => ({
  title: `MoE layer, ${named(sizes)}, fwd+bwd`,
  dtype,
  make: (o) => {
    const { T, K, E, D, F } = sizes;
    const layer = (...shape: number[]) => new Linear([], o.normal(shape, { std: 0.02 }));
    const parts = { router: layer(E, D), gate: layer(E, F, D), up: layer(E, F, D), down: layer(E, D, F) };
    const block = new SparseMoe({ ...parts, topK: K, renormalize: true });
    const x = o.normal([T, D]);
    const { router, gate, up, down } = parts;
    return trainingDuel(
      o,
      () => block.forward(x).out,
      [[x], [router.weight], [gate.weight, up.weight], [down.weight]],
      {
        inputs: { x, router: router.weight, gate: gate.weight, up: up.weight, down: down.weight },
        peers: inPython("moe", {
          eager: { topK: K, experts: "eager" },
          grouped_mm: { topK: K, experts: "grouped_mm" },
        }),
      },
    );
  },
});

/** As in a model: with gradients to the input, the base frozen, DoRA's norm computed again each time. */
const lowRank = (dora: boolean): DuelCase => ({
  title: `${dora ? "DoRA" : "LoRA"} linear, T 2048, 1024→1024, r 16, fwd+bwd`,
  dtype: "f32",
  make: (o: Operands) => {
    const [T, N, r] = [2048, 1024, 16];
    const x = o.normal([T, N]);
    const layer = new Linear(["layer"], o.normal([N, N], { std: 0.02 }));
    const a = o.normal([r, N], { std: 0.02 });
    const b = o.normal([N, r], { std: 0.02 });
    const magnitude = dora ? o.normal([N]) : undefined;
    const low = new LowRank(layer, { a, b, magnitude, scaling: 2, dropout: 0 });
    const call = () => {
      a.version++; // as after an update
      return low.apply(layer, x, undefined);
    };
    const leaves = [[x], [a], [b], ...(magnitude ? [[magnitude]] : [])];
    return trainingDuel(o, call, leaves, {
      inputs: { x, weight: layer.weight, a, b, ...(magnitude && { magnitude }) },
      peers: inPython("low_rank", { peft: { dora } }),
    });
  },
});

const causal = (documents: number, length: number): DuelCase => ({
  title: `attention ${documents} × ${length}, H 8 G 4 hd 64, fwd+bwd`,
  dtype: "f32",
  make: (o) => {
    const [T, heads, kvHeads] = [documents * length, 8, 4];
    const [q, k, v] = [o.normal([T, heads * 64]), o.normal([T, kvHeads * 64]), o.normal([T, kvHeads * 64])];
    const offsets = o.ints(
      Array.from({ length: documents + 1 }, (_, d) => d * length),
      [documents + 1],
    );
    const shape = { documents, heads, kvHeads };
    return trainingDuel(o, () => attention(q, k, v, offsets, { heads, kvHeads }), [[q], [k], [v]], {
      inputs: { q, k, v },
      peers: inPython("attention", {
        "SDPA, GQA": { ...shape, kind: "gqa" },
        "SDPA, repeated KV": { ...shape, kind: "repeat" },
      }),
    });
  },
});

const update: DuelCase = {
  title: "AdamW, 24 tensors, 12.6 million parameters",
  dtype: "f32",
  make: (o) => {
    const all = [24, 1024, 512];
    const sources = { params: o.normal(all, { std: 0.02 }), grads: o.normal(all, { std: 1e-3 }) };
    const lists = [sources.params, o.device.full(all, 0), o.device.full(all, 0)].map((tensor) =>
      Array.from({ length: 24 }, (_, i) => tensor.view([1024, 512], i * 1024 * 512)),
    );
    const [params, first, second] = lists as [(typeof lists)[0], (typeof lists)[0], (typeof lists)[0]];
    const grads = params.map((_, i) => sources.grads.view([1024, 512], i * 1024 * 512));
    const masters = params.map(() => undefined);
    let done = 0;
    const ours = () =>
      run(
        "adamw",
        grads,
        params,
        first,
        second,
        masters,
        undefined,
        1e-3,
        0.9,
        0.95,
        1e-8,
        0.1,
        true,
        ++done,
      );
    return {
      inputs: sources,
      peers: inPython("adamw", { foreach: { kind: "foreach" }, fused: { kind: "fused" } }),
      ours,
      check: async () => {
        for (let i = 0; i < 3; i++) ours();
        return [await sumOfSquares(sources.params)];
      },
    };
  },
};

export const opCases: readonly DuelCase[] = [
  sgemm(1024, "f32"),
  sgemm(2048, "f32"),
  sgemm(2048, "bf16"),
  grouped(few, false),
  grouped(few, true),
  grouped(many, true),
  moe(few, "f32"),
  moe(few, "bf16"),
  moe(many, "f32"),
  lowRank(true),
  lowRank(false),
  causal(4, 512),
  causal(1, 2048),
  update,
];
