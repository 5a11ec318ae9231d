// T tokens, D model, E experts, K chosen, R = T·K routed rows, F outputs
import { scope } from "../../lib/core/scope.ts";
import { groupedMatmul } from "../../lib/ops/grouped_matmul.ts";
import { linear } from "../../lib/ops/linear.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import type { Sizes } from "../peers/moe_cases.ts";
import { forwardDuel, inPython, trainingDuel } from "../peers/peer_case.ts";
import { type Load, loadTitle, routed } from "../routing.ts";
import { type GpuDuelCase, settingsOf } from "./gpu_case.ts";
import type { Shapes } from "./shapes.ts";

const dense = (n: number): GpuDuelCase => ({
  title: `x · wᵀ, ${n}³`,
  dtype: "bf16",
  figures: { cuBLAS: "G1" },
  costs: [{ flops: 2 * n ** 3, reads: 4 * n * n, writes: 2 * n * n }],
  ceiling: true,
  make: (o) => {
    const inputs = { x: o.normal([n, n]), weight: o.normal([n, n]) };
    const peers = inPython("matmul", { cuBLAS: {} });
    return { ...forwardDuel(() => linear(inputs.x, inputs.weight), { inputs, peers }), exact: {} };
  },
});

const grouped = (name: string, sizes: Sizes, train: boolean, load: Load): GpuDuelCase => {
  const { T, K, E, D, F } = sizes;
  const [R, W] = [T * K, E * D * F];
  const forward = { flops: 2 * R * D * F, reads: 2 * (R * D + W), writes: 2 * R * F };
  const backward = { flops: 4 * R * D * F, reads: 2 * (2 * R * F + R * D + W), writes: 2 * R * D + 4 * W };
  return {
    title: `grouped, ${name} E ${E} K ${K} T ${T} ${D}→${F}, ${loadTitle[load]}, ${train ? "fwd + dX + dW" : "fwd"}`,
    dtype: "bf16",
    figures: { grouped_mm: "G2" },
    costs: train ? [forward, backward] : [forward],
    make: (o) => {
      const x = o.normal([R, D]);
      const weight = o.normal([E, F, D], { std: 0.02 });
      const experts = o.ints(routed(load, E, R), [T, K]);
      const offsets = scope(() => sortByExpert(experts, E).offsets);
      const call = () => groupedMatmul(x, weight, { offsets });
      const peers = inPython("grouped", { grouped_mm: { kind: "grouped" } });
      const rest = { inputs: { x, weight, offsets }, peers };
      const duel = train ? trainingDuel(o, call, [[x], [weight]], rest) : forwardDuel(call, rest);
      return { ...duel, exact: settingsOf(["loop"]).loop! };
    },
  };
};

export const productCases = ({ dense: sides, grouped: shapes }: Shapes): GpuDuelCase[] => {
  const [[name, sizes]] = Object.entries(shapes) as [[string, Sizes]];
  return [
    ...sides.map(dense),
    ...Object.entries(shapes).flatMap(([name, sizes]) => [
      grouped(name, sizes, false, "uniform"),
      grouped(name, sizes, true, "uniform"),
    ]),
    ...(["zipf", "one25"] as const).map((load) => grouped(name, sizes, true, load)),
  ];
};
