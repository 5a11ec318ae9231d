// T tokens, D model, E experts, K chosen, F hidden

import { device } from "../../lib/core/device.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll, record, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { SparseMoe } from "../../lib/nn/experts.ts";
import { Linear } from "../../lib/nn/linear.ts";
import { linear } from "../../lib/ops/linear.ts";
import { router } from "../../lib/ops/router.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { filesOf } from "../peers/duel.ts";
import { layer, type Sizes } from "../peers/moe_cases.ts";
import { inPython, sumOfSquares } from "../peers/peer_case.ts";
import { type Load, loadTitle } from "../routing.ts";
import { Operands } from "../workload.ts";
import type { GpuCase, GpuDuelCase, GpuMeasuredCase } from "./gpu_case.ts";
import type { Shapes } from "./shapes.ts";

/** How likely each expert is at the first draw. */
const likely: Record<Load, (e: number, E: number) => number> = {
  uniform: () => 1,
  zipf: (e) => 1 / (e + 1),
  one25: (e, E) => (e === 0 ? 0.25 : 0.75 / (E - 1)),
};

/** For each token K experts, no two the same: 1 in a row of [T, E], times `value`. */
function chosen(load: Load, { T, E, K }: Sizes, value: number): Float32Array {
  const random = new Random(7);
  const all = new Float32Array(T * E);
  const arrivals = new Float64Array(E);
  for (let t = 0; t < T; t++) {
    for (let e = 0; e < E; e++) arrivals[e] = -Math.log(1 - random.uniform()) / likely[load](e, E);
    const last = Float64Array.from(arrivals).sort()[K - 1]!;
    for (let e = 0; e < E; e++) if (arrivals[e]! <= last) all[t * E + e] = value;
  }
  return all;
}

/**
 * A router, and tokens that it sends where `load` says by a wide margin: in every format and on both sides the same experts
 * are chosen. A token is noise and the router's rows of its experts.
 */
export function routedInput(o: Operands, sizes: Sizes, load: Load): { router: Tensor; x: Tensor } {
  const { T, D, E } = sizes;
  const weight = o.normal([E, D], { std: 1 / Math.sqrt(D) });
  const x = o.normal([T, D]);
  const wanted = o.device.tensor(chosen(load, sizes, 6), [T, E], { dtype: o.dtype });
  run("matmul", wanted, weight, undefined, x, false, false, 1, true);
  wanted.dispose();
  return { router: weight, x };
}

const named = ({ E, K, D, F, T }: Sizes): string => `E ${E} K ${K} D ${D} F ${F} T ${T}`;

const whole = (sizes: Sizes, size: string, train: boolean, load: Load): GpuDuelCase => {
  const { E, K, D, F, T } = sizes;
  const W = 3 * E * D * F;
  const forward = { flops: 6 * T * K * D * F, reads: 2 * (T * D + W), writes: 2 * T * D };
  const backward = { flops: 12 * T * K * D * F, reads: 2 * (2 * T * D + W), writes: 2 * T * D + 4 * W };
  const id = train ? "G4" : "G3";
  const ways = load === "uniform" ? ["grouped_mm", "liger", "eager"] : ["grouped_mm", "liger"];
  return {
    title: `MoE layer ${named(sizes)}, ${loadTitle[load]}, ${train ? "fwd+bwd" : "fwd"}`,
    dtype: "bf16",
    figures: { grouped_mm: `${id}.grouped_mm`, liger: `${id}.liger`, eager: `${id}.eager.${size}` },
    costs: train ? [forward, backward] : [forward],
    make: (o) => ({
      ...layer(o, sizes, train, ways, routedInput(o, sizes, load)),
      exact: { kind: "reference", topK: K },
    }),
  };
};

const lists = (sizes: Sizes): GpuDuelCase => {
  const { E, K, D, T } = sizes;
  return {
    title: `router and lists ${named(sizes)}`,
    dtype: "bf16",
    figures: { torch: "G6" },
    costs: [{ flops: 2 * T * D * E, reads: 2 * (T * D + D * E), writes: 24 * T * K }],
    make: (o) => {
      const inputs = routedInput(o, sizes, "uniform");
      const call = () => {
        const logits = linear(inputs.x, inputs.router, { dtype: "f32" });
        const { experts, weights } = router(logits, { topK: K, renormalize: true });
        return { weights, offsets: sortByExpert(experts, E).offsets };
      };
      return {
        inputs,
        peers: inPython("routing", { torch: { topK: K } }),
        exact: { topK: K },
        ours: () => scope(() => void call()),
        check: async () => {
          const made = scope(call);
          const numbers = [await sumOfSquares(made.weights), await sumOfSquares(made.offsets)];
          disposeAll(made);
          return numbers;
        },
        results: async (read) => {
          const { weights, offsets } = scope(call);
          const seen = [read(weights), read(offsets.view([E], 1))] as const;
          disposeAll(weights, offsets);
          return [[await seen[0]], [await seen[1]]];
        },
      };
    },
  };
};

const mebi = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** What one layer keeps for its backward, and how far it goes over its inputs and gradients; on devices of their own. */
const memory = (sizes: Sizes): GpuMeasuredCase => {
  const { E, K, D, F, T } = sizes;
  return {
    figure: "G5",
    title: `memory, MoE layer ${named(sizes)}`,
    dtype: "bf16",
    measure: async ({ peer, device: name, folder }) => {
      using dev = await device(name);
      const o = new Operands(dev, "bf16");
      const { router, x } = routedInput(o, sizes, "uniform");
      const part = (...shape: number[]) => new Linear([], o.normal(shape, { std: 0.02 }));
      const parts = {
        router: new Linear([], router),
        gate: part(E, F, D),
        up: part(E, F, D),
        down: part(E, D, F),
      };
      const block = new SparseMoe({ ...parts, topK: K, renormalize: true });
      const upstream = o.normal([T, D]);
      const { gate, up, down } = parts;
      const params = { x, router, gate: gate.weight, up: up.weight, down: down.weight };
      await dev.ready();
      const before = dev.stats();
      let kept = 0;
      const { value, grads } = valueAndGrad(params, () => {
        const y = scope(() => block.forward(x).out);
        kept = dev.stats().bytes - before.bytes - y.bytes;
        const loss = dev.full([1], 0);
        record({
          inputs: [y],
          outputs: [loss],
          keeps: [upstream],
          backward: (_, gradients) => gradients.give(y, upstream),
        });
        return loss;
      });
      const gradients = Object.values(grads).reduce((sum, { bytes }) => sum + bytes, 0);
      const peak = dev.stats().peakBytes - before.bytes - gradients;
      disposeAll(value, grads);
      const activations = 2 * T * D + 4 * T * K * F;
      const rows = [
        { figure: "G5.kept", value: kept / activations, note: `${mebi(kept)} MiB of ${mebi(activations)}` },
      ];
      if (peer === undefined)
        return [...rows, { figure: "G5.peak", note: `ours ${mebi(peak)} MiB; no peer` }];
      const inputs = await filesOf({ ...params, upstream }, folder);
      const options = { kind: "grouped_mm", topK: K };
      const grown = await peer.grow("moe", inputs, options, 2);
      const theirs = grown - 2 * Object.values(params).reduce((sum, { size }) => sum + size, 0);
      const note = `ours ${mebi(peak)} MiB, grouped_mm ${mebi(theirs)}`;
      return [...rows, { figure: "G5.peak", value: peak / theirs, note }];
    },
  };
};

export function layerCases({ layer: sizes, tokens }: Shapes): GpuCase[] {
  const [few, many] = [
    { ...sizes, T: tokens.T8k },
    { ...sizes, T: tokens.T32k },
  ];
  return [
    ...[false, true].flatMap((train) => [
      whole(few, "T8k", train, "uniform"),
      whole(many, "T32k", train, "uniform"),
    ]),
    ...(["zipf", "one25"] as const).map((load) => whole(few, "T8k", true, load)),
    memory(many),
    lists(many),
  ];
}
