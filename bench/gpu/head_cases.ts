// T tokens, D model, V vocabulary

import type { DType } from "../../lib/core/dtype.ts";
import { run } from "../../lib/core/run.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { linearCrossEntropy } from "../../lib/ops/linear_cross_entropy.ts";
import { headOperands } from "../ops/linear_cross_entropy.bench.ts";
import { inPython, sumOfSquares, trainingDuel } from "../peers/peer_case.ts";
import type { GpuDuelCase } from "./gpu_case.ts";
import type { Shapes } from "./shapes.ts";

const head = ({ T, D, V, chunk }: Shapes["head"]): GpuDuelCase => ({
  title: `linear + cross-entropy, T ${T} D ${D} V ${V}, fwd+bwd`,
  dtype: "bf16",
  figures: { whole: "G10", "in chunks": "G10" },
  costs: [{ flops: 6 * T * D * V, reads: 2 * (T * D + V * D), writes: 2 * T * D + 4 * V * D }],
  make: (o) => {
    const inputs = headOperands(o, { T, D, V });
    const { x, weight, targets } = inputs;
    const peers = inPython("linear_cross_entropy", {
      whole: { kind: "plain" },
      "in chunks": { kind: "by_hand", chunk },
    });
    const call = () => linearCrossEntropy(x, weight, targets, { scale: 1 / T });
    const upstream = o.device.full([1], 1);
    const duel = trainingDuel(o, call, [[x], [weight]], { inputs, peers }, upstream);
    return { ...duel, exact: { kind: "by_hand", chunk } };
  },
});

/** Of a bf16 model we keep f32 masters and moments, PyTorch keeps all in bf16. */
const update = ({ count, side }: Shapes["adamw"], dtype: DType): GpuDuelCase => {
  const size = count * side * side;
  const narrow = dtype === "bf16";
  return {
    title: `AdamW, ${count} tensors, ${(size / 1e6).toFixed(0)} million parameters`,
    dtype,
    figures: { "torch fused": "G11" },
    costs: [{ reads: 16 * size, writes: (narrow ? 14 : 12) * size, inPlace: true }],
    make: (o) => {
      const all = [count, side, side];
      const params = o.normal(all, { std: 0.02 });
      const grads = o.normal(all, { std: 1e-3, dtype: "f32" });
      const zeros = () => o.device.full(all, 0);
      const [first, second, masters] = [zeros(), zeros(), narrow ? zeros() : undefined];
      if (masters) run("add", params, undefined, masters, 1, 0);
      const listOf = (whole: Tensor): Tensor[] =>
        Array.from({ length: count }, (_, i) => whole.view([side, side], i * side * side));
      const lists = [grads, params, first, second].map(listOf);
      const wide = masters ? listOf(masters) : lists[0]!.map(() => undefined);
      let done = 0;
      const ours = () => {
        const [lr, beta1, beta2, eps, decay] = [1e-3, 0.9, 0.95, 1e-8, 0.1];
        const [g, p, m, v] = lists as [Tensor[], Tensor[], Tensor[], Tensor[]];
        run("adamw", g, p, m, v, wide, undefined, lr, beta1, beta2, eps, decay, true, ++done);
      };
      const thrice = () => {
        for (let i = 0; i < 3; i++) ours();
      };
      return {
        inputs: { params, grads },
        peers: inPython("adamw", { "torch fused": { kind: "fused" } }),
        exact: { kind: "foreach" },
        ours,
        check: async () => {
          thrice();
          return [await sumOfSquares(params)];
        },
        results: async (read) => {
          thrice();
          return [await Promise.all(lists[1]!.map(read))];
        },
      };
    },
  };
};

export const headCases = ({ head: sizes, adamw }: Shapes): GpuDuelCase[] => [
  head(sizes),
  update(adamw, "f32"),
  update(adamw, "bf16"),
];
