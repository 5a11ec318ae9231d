// T tokens, D model, E experts, K chosen, F hidden, N outputs, r rank
import { LowRank } from "../../lib/adapters/low_rank.ts";
import { device } from "../../lib/core/device.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { SparseMoe } from "../../lib/nn/experts.ts";
import { Linear } from "../../lib/nn/linear.ts";
import { doraNorm, rowSumSquares } from "../../lib/ops/dora.ts";
import { sample } from "../measure.ts";
import type { Sizes } from "../peers/moe_cases.ts";
import { forwardDuel, inPython, trainingDuel } from "../peers/peer_case.ts";
import { fusedLora, whole } from "../peers/step_cases.ts";
import { type Subject, trainingStep } from "../training_step.ts";
import { type GpuCase, type GpuDuelCase, type GpuMeasuredCase, settingsOf } from "./gpu_case.ts";
import { routedInput } from "./layer_cases.ts";
import { race } from "./race.ts";
import type { Shapes } from "./shapes.ts";

/** On a frozen layer of experts, with gradients to its input; gate and up share an A, as peft has it. */
const expertLora = (sizes: Sizes, r: number): GpuDuelCase => {
  const { E, K, D, F, T } = sizes;
  const low = 6 * T * K * r * (3 * D + 3 * F);
  const weights = 6 * E * D * F;
  return {
    title: `LoRA r ${r} on experts, E ${E} K ${K} D ${D} F ${F} T ${T}, fwd+bwd`,
    dtype: "bf16",
    figures: { eager: "G7", grouped_mm: "G7" },
    costs: [{ flops: 12 * T * K * D * F + low, reads: 2 * weights, writes: 4 * T * D }],
    make: (o) => {
      const { router, x } = routedInput(o, sizes, "uniform");
      const part = (...shape: number[]) => o.normal(shape, { std: 0.02 });
      const base = { gate: part(E, F, D), up: part(E, F, D), down: part(E, D, F) };
      const [a, a_down] = [part(E, r, D), part(E, r, F)];
      const [b_gate, b_up, b_down] = [part(E, F, r), part(E, F, r), part(E, D, r)];
      const adapted = (weight: Tensor, a: Tensor, b: Tensor): Linear => {
        const layer = new Linear([], weight);
        layer.adapter = new LowRank(layer, { a, b, scaling: 2, dropout: 0 });
        return layer;
      };
      const block = new SparseMoe({
        router: new Linear([], router),
        gate: adapted(base.gate, a, b_gate),
        up: adapted(base.up, a, b_up),
        down: adapted(base.down, a_down, b_down),
        topK: K,
        renormalize: true,
      });
      const rest = {
        inputs: { x, router, ...base, a, a_down, b_gate, b_up, b_down },
        peers: inPython("expert_lora", settingsOf(["grouped_mm", "eager"], { topK: K })),
      };
      const leaves = [[x], [a], [b_gate, b_up], [a_down], [b_down]];
      const duel = trainingDuel(o, () => block.forward(x).out, leaves, rest);
      return { ...duel, exact: { kind: "reference", topK: K } };
    },
  };
};

const norm = (E: number, N: number, K: number, r: number): GpuDuelCase => ({
  title: E > 1 ? `DoRA norm of ${E} experts, ${N} × ${K}, r ${r}` : `DoRA norm ${N} × ${K}, r ${r}`,
  dtype: "bf16",
  figures: { peft: "G9.peft", dense: "G9.dense" },
  costs: [{ reads: 2 * E * (N * K + r * (N + K)) + 4 * E * N, writes: 4 * E * N }],
  make: (o) => {
    const stack = E > 1 ? [E] : [];
    const [weight, a, b] = [[N, K] as const, [r, K] as const, [N, r] as const].map((shape) =>
      o.normal([...stack, ...shape], { std: 0.02 }),
    ) as [Tensor, Tensor, Tensor];
    const stacked = [weight, a, b].map((t) => (E > 1 ? t : t.view([1, ...t.shape])));
    const [w, down, up] = stacked as [Tensor, Tensor, Tensor];
    const square = rowSumSquares(w); // of a frozen weight: once
    const duel = forwardDuel(() => doraNorm(w, square, down, up, 2).view([...stack, N]), {
      inputs: { weight, a, b },
      peers: inPython("dora_norm", settingsOf(E > 1 ? ["dense"] : ["peft", "dense"])),
    });
    return { ...duel, exact: { kind: "dense" } };
  },
});

const subject = ({ config, documents, rank }: Shapes["step"], kind: "lora" | "dora"): Subject => ({
  title: `qwen3_moe, ${config.num_hidden_layers} layers D ${config.hidden_size} E ${config.num_experts}, ${kind} r ${rank}`,
  config,
  adapter: { kind, options: { rank, alpha: 2 * rank, targets: "all-linear" } },
  ...(documents && { documents }),
});

const doraByLora = (step: Shapes["step"]): GpuMeasuredCase => ({
  figure: "G8",
  title: `step, ${subject(step, "dora").title} ÷ lora`,
  dtype: "bf16",
  measure: async ({ device: name, effort }) => {
    using dev = await device(name);
    const [dora, lora] = (["dora", "lora"] as const).map((kind) => {
      const { enqueue } = trainingStep(dev, "bf16", subject(step, kind));
      const time = (calls: number) => sample(dev, () => void enqueue(), calls);
      return { name: kind, time };
    });
    const standings = await race([dora!, lora!], effort);
    const ratios = standings[0]!.rounds.map((over, i) => over / standings[1]!.rounds[i]!);
    const value = ratios.sort((a, b) => a - b)[ratios.length >> 1]!;
    const ms = ({ median, best }: (typeof standings)[number]): string =>
      `${(median * 1e3).toFixed(2)} (${(best * 1e3).toFixed(2)}) ms`;
    const note = `median of ${ratios.length} paired ratios; DoRA ${ms(standings[0]!)}, LoRA ${ms(standings[1]!)}`;
    return [{ figure: "G8", value, note }];
  },
});

/** peft has no DoRA on experts: it trains LoRA on the same matrices. */
const trainStep = (step: Shapes["step"]): GpuDuelCase => {
  const dora = subject(step, "dora");
  const { count, length } = dora.documents!;
  return {
    title: `step, ${dora.title}, T ${count * length}`,
    dtype: "bf16",
    figures: { grouped_mm: "G12" },
    costs: [],
    tokens: count * length,
    make: (o, { folder }) => {
      const lora = { ...fusedLora, r: step.rank, lora_alpha: 2 * step.rank };
      return whole(dora, "bf16", folder, { lora }, ["grouped_mm"]).make(o);
    },
  };
};

export const adapterCases = ({ layer, lora, norm: norms, step }: Shapes): GpuCase[] => [
  expertLora({ ...layer, T: lora.T }, lora.r),
  doraByLora(step),
  ...norms.sides.map((side) => norm(1, side, side, norms.r)),
  norm(norms.stacked.E, norms.stacked.N, norms.stacked.K, norms.stacked.r),
  trainStep(step),
];
