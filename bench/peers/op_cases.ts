// T tokens, D model, E experts, K chosen, R = T·K routed rows, F hidden
import { run } from "../../lib/core/run.ts";
import { scope } from "../../lib/core/scope.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { attention } from "../../lib/ops/attention.ts";
import { groupedMatmul } from "../../lib/ops/grouped_matmul.ts";
import { linear } from "../../lib/ops/linear.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { routed } from "../routing.ts";
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
    const experts = o.ints(routed("zipf", E, T * K), [T, K]);
    const offsets = scope(() => sortByExpert(experts, E).offsets);
    const call = () => groupedMatmul(x, weight, { offsets });
    const settings = { loop: { kind: "loop" }, _grouped_mm: { kind: "grouped" } };
    const rest = { inputs: { x, weight, offsets }, peers: inPython("grouped", settings) };
    return train ? trainingDuel(o, call, [[x], [weight]], rest) : forwardDuel(call, rest);
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

const update = (kind: "fused" | "foreach"): DuelCase => ({
  figure: `C9.${kind}`,
  title: `AdamW, ${count} tensors, ${((count * rows * columns) / 1e6).toFixed(1)} million parameters`,
  dtype: "f32",
  make: (o) => {
    const all = [count, rows, columns];
    const sources = { params: o.normal(all, { std: 0.02 }), grads: o.normal(all, { std: 1e-3 }) };
    const listOf = (whole: Tensor): Tensor[] =>
      Array.from({ length: count }, (_, i) => whole.view([rows, columns], i * rows * columns));
    const [params, grads] = [listOf(sources.params), listOf(sources.grads)];
    const [first, second] = [listOf(o.device.full(all, 0)), listOf(o.device.full(all, 0))];
    const masters = params.map(() => undefined);
    const [lr, beta1, beta2, eps, decay] = [1e-3, 0.9, 0.95, 1e-8, 0.1];
    let done = 0;
    const ours = () => {
      const numbers = [lr, beta1, beta2, eps, decay] as const;
      run("adamw", grads, params, first, second, masters, undefined, ...numbers, true, ++done);
    };
    return {
      inputs: sources,
      peers: inPython("adamw", { [kind]: { kind } }),
      ours,
      check: async () => {
        for (let i = 0; i < 3; i++) ours();
        return [await sumOfSquares(sources.params)];
      },
    };
  },
});
const [count, rows, columns] = [48, 1024, 1024];

export const opCases: readonly DuelCase[] = [
  sgemm(1024, "f32"),
  sgemm(2048, "f32"),
  sgemm(2048, "bf16"),
  grouped(few, false),
  grouped(few, true),
  grouped(many, true),
  update("fused"),
  update("foreach"),
  causal(4, 512),
  causal(1, 2048),
];
