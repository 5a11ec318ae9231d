// T tokens, D model, E experts, K chosen, F hidden
import type { Tensor } from "../../lib/core/tensor.ts";
import { SparseMoe } from "../../lib/nn/experts.ts";
import { Linear } from "../../lib/nn/linear.ts";
import type { Operands } from "../workload.ts";
import { type Duel, type DuelCase, forwardDuel, inPython, trainingDuel } from "./peer_case.ts";

export interface Sizes {
  E: number;
  K: number;
  D: number;
  F: number;
  T: number;
}

/** Every known way to write the layer: functions of peer_moe.py, and transformers' own two. */
const handWritten = ["loop", "loop_stacked", "slices", "slices_stacked", "grouped"];

/**
 * The router's random logits load the experts about evenly. `ways` are all known ones without transformers' eager where its
 * gradient takes a minute: indexing stacked weights expert by expert, it fills a whole gradient for each.
 */
export const layer = (
  o: Operands,
  { E, K, D, F, T }: Sizes,
  train: boolean,
  ways: readonly string[],
  given?: { router: Tensor; x: Tensor },
): Duel => {
  const part = (...shape: number[]) => new Linear([], o.normal(shape, { std: 0.02 }));
  const [router, gate, up, down] = [
    given ? new Linear([], given.router) : part(E, D),
    part(E, F, D),
    part(E, F, D),
    part(E, D, F),
  ];
  const block = new SparseMoe({ router, gate, up, down, topK: K, renormalize: true });
  const x = given?.x ?? o.normal([T, D]);
  const weights = [router, gate, up, down].map(({ weight }) => weight);
  const call = () => {
    if (train) for (const weight of weights) weight.version++; // as after an update
    return block.forward(x).out;
  };
  const rest = {
    inputs: { x, router: router.weight, gate: gate.weight, up: up.weight, down: down.weight },
    peers: inPython("moe", Object.fromEntries(ways.map((kind) => [kind, { kind, topK: K }]))),
  };
  const leaves = [[x], [router.weight], [gate.weight, up.weight], [down.weight]];
  return train ? trainingDuel(o, call, leaves, rest) : forwardDuel(call, rest);
};

const shapes: Record<string, Sizes> = {
  "E8-T2048": { E: 8, K: 2, D: 512, F: 1792, T: 2048 },
  "E64-T2048": { E: 64, K: 8, D: 1024, F: 512, T: 2048 },
  "E64-T256": { E: 64, K: 8, D: 1024, F: 512, T: 256 },
  "E128-T128": { E: 128, K: 8, D: 512, F: 128, T: 128 },
};

const titleOf = ({ E, K, D, F, T }: Sizes, train: boolean): string =>
  `MoE layer, E ${E} K ${K} D ${D} F ${F} T ${T}, ${train ? "fwd+bwd" : "fwd"}`;

const cases = Object.entries(shapes).flatMap(([name, sizes]) =>
  [false, true].map((train): DuelCase => {
    const ways = [...handWritten, "grouped_mm", ...(train && sizes.E > 8 ? [] : ["eager"])];
    return {
      figure: `${train ? "C5" : "C4"}.${name}`,
      title: titleOf(sizes, train),
      dtype: "f32",
      make: (o) => layer(o, sizes, train, ways),
    };
  }),
);

const [few, many] = [shapes["E8-T2048"]!, shapes["E64-T2048"]!];

export const moeCases: readonly DuelCase[] = [
  ...cases,
  {
    figure: "C5.eager",
    title: titleOf(many, true),
    dtype: "f32",
    once: true,
    make: (o) => layer(o, many, true, ["eager"]),
  },
  {
    title: titleOf(few, true),
    dtype: "bf16",
    make: (o) => layer(o, few, true, ["slices", "grouped", "grouped_mm"]),
  },
];
