// T tokens, N inputs and outputs, r rank
import { LowRank } from "../../lib/adapters/low_rank.ts";
import { device } from "../../lib/core/device.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { Linear } from "../../lib/nn/linear.ts";
import { doraNorm, rowSumSquares } from "../../lib/ops/dora.ts";
import { pairedRatio } from "../measure.ts";
import { Operands } from "../workload.ts";
import {
  type Duel,
  type DuelCase,
  forwardDuel,
  inPython,
  type MeasuredCase,
  type PeerCase,
  trainingDuel,
} from "./peer_case.ts";

const r = 16;

interface Setting {
  N: number;
  T: number;
  dropout: number;
}

/** On a frozen layer, with gradients to the input. The adapter changes before each call, so DoRA's norm is computed again. */
function adapted(o: Operands, { N, T, dropout }: Setting, dora: boolean): Duel {
  const x = o.normal([T, N]);
  const layer = new Linear(["layer"], o.normal([N, N], { std: 0.02 }));
  const a = o.normal([r, N], { std: 0.02 });
  const b = o.normal([N, r], { std: 0.02 });
  const magnitude = dora ? o.normal([N]) : undefined;
  const leaves = [[x], [a], [b], ...(magnitude ? [[magnitude]] : [])];
  const rest = {
    inputs: { x, weight: layer.weight, a, b, ...(magnitude && { magnitude }) },
    peers: inPython("low_rank", { peft: { dora, dropout } }),
  };
  const passOf = (dropout: number, upstream?: Tensor): Duel => {
    const low = new LowRank(layer, { a, b, magnitude, scaling: 2, dropout });
    const call = () => {
      a.version++;
      b.version++;
      return low.apply(layer, x, undefined);
    };
    return trainingDuel(o, call, leaves, rest, upstream);
  };
  const duel = passOf(dropout);
  if (dropout === 0) return duel;
  // each side drops what it likes: they are compared without
  return { ...duel, check: passOf(0, duel.inputs.upstream).check };
}

const settings: readonly Setting[] = [2048, 4096].flatMap((N) =>
  [0, 0.05].flatMap((dropout) => [256, 2048].map((T) => ({ N, T, dropout }))),
);
const titleOf = (kind: string, { N, T, dropout }: Setting): string =>
  `${kind}, n ${N}, T ${T}, r ${r}, dropout ${dropout}, fwd+bwd`;

const againstLora = (setting: Setting): MeasuredCase => ({
  figure: "C7",
  title: titleOf("our DoRA ÷ our LoRA", setting),
  dtype: "f32",
  measure: async ({ isa }) => {
    using dev = await device("cpu", { isa });
    const o = new Operands(dev, "f32");
    const [dora, lora] = [adapted(o, setting, true), adapted(o, setting, false)];
    const { ratio, over, under } = await pairedRatio(dev, dora.ours, lora.ours);
    const ms = (seconds: number): string => (seconds * 1e3).toFixed(1);
    return { value: ratio, note: `DoRA ${ms(over)} ms, LoRA ${ms(under)} ms` };
  },
});

const againstPeft = (setting: Setting, dora: boolean): DuelCase => ({
  ...(dora && { figure: setting.dropout > 0 ? "C7b.dropout" : "C7b.plain" }),
  title: titleOf(dora ? "DoRA linear" : "LoRA linear", setting),
  dtype: "f32",
  make: (o) => adapted(o, setting, dora),
});

const norm = (N: number, kind: "peft" | "factored"): DuelCase => ({
  figure: `C8.${kind}`,
  title: `DoRA norm ${N}², r ${r}`,
  dtype: "f32",
  make: (o) => {
    const weight = o.normal([N, N], { std: 0.02 });
    const a = o.normal([r, N], { std: 0.02 });
    const b = o.normal([N, r], { std: 0.02 });
    const stacked = [weight, a, b].map((t) => t.view([1, ...t.shape])) as [Tensor, Tensor, Tensor];
    const square = rowSumSquares(stacked[0]); // of a frozen weight: once
    return forwardDuel(() => doraNorm(stacked[0], square, stacked[1], stacked[2], 2), {
      inputs: { weight, a, b },
      peers: inPython("dora_norm", { [kind]: { kind } }),
    });
  },
});

export const adapterCases: readonly PeerCase[] = [
  ...settings.map(againstLora),
  ...settings.map((setting) => againstPeft(setting, true)),
  againstPeft({ N: 2048, T: 2048, dropout: 0 }, false),
  ...(["peft", "factored"] as const).flatMap((kind) => [norm(2048, kind), norm(4096, kind)]),
];
