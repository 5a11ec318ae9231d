import type { Result } from "./duel.ts";

/** A number that stands for several cases, and the bounds it is held against. */
export interface Figure {
  id: string;
  title: string;
  gate: number;
  target?: number;
  /** Bounds are lower ones, unless they are `atMost`. */
  atMost?: true;
  /** How its cases make one number. Default: the worst counts. */
  combine?: "geomean";
}

const bounds = (gate: number, target?: number) => ({ gate, ...(target !== undefined && { target }) });
const shapes = ["E8-T2048", "E64-T2048", "E64-T256", "E128-T128"] as const;
const layer = (id: string, title: string, limits: readonly [gate: number, target: number][]): Figure[] =>
  shapes.map((shape, i) => ({
    id: `${id}.${shape}`,
    title: `MoE layer ${title}, ${shape}`,
    ...bounds(...limits[i]!),
  }));

/** Ratios are the peer's time by ours, if the title doesn't say otherwise. */
export const figures: readonly Figure[] = [
  { id: "C1", title: "sgemm", ...bounds(0.95, 1) },
  { id: "C2", title: "grouped GEMM, 1 to 64 rows an expert", ...bounds(1.3, 2), combine: "geomean" },
  { id: "C3", title: "LoRA shapes", ...bounds(1.2, 2), combine: "geomean" },
  ...layer("C4", "fwd", [
    [1.2, 1.6],
    [1.2, 1.6],
    [1.5, 2.5],
    [2, 4],
  ]),
  ...layer("C5", "fwd+bwd", [
    [1.2, 1.5],
    [1.2, 1.6],
    [1.5, 2.5],
    [2, 4],
  ]),
  { id: "C5.eager", title: "MoE layer fwd+bwd, E64-T2048, transformers' eager", ...bounds(10, 15) },
  { id: "C7", title: "our DoRA step ÷ our LoRA step", ...bounds(1.1, 1.03), atMost: true },
  { id: "C7b.plain", title: "DoRA step, peft, dropout 0", ...bounds(1.3, 1.8) },
  { id: "C7b.dropout", title: "DoRA step, peft, dropout 0.05", ...bounds(2, 3) },
  { id: "C8.peft", title: "DoRA norm, peft", ...bounds(8, 15) },
  { id: "C8.factored", title: "DoRA norm, factored in PyTorch", ...bounds(1, 1.5) },
  { id: "C9.fused", title: "AdamW, fused", ...bounds(0.95, 1) },
  { id: "C9.foreach", title: "AdamW, foreach", ...bounds(3) },
  { id: "C10.time", title: "linear + cross-entropy fwd+bwd", ...bounds(1.1, 1.5) },
  {
    id: "C10.memory",
    title: "linear + cross-entropy: extra memory ÷ logits",
    ...bounds(0.05, 0.01),
    atMost: true,
  },
  { id: "C11", title: "training step of a small MoE model", ...bounds(1.3, 1.8) },
  { id: "C12.idle", title: "1 thread's time ÷ 2 threads'", ...bounds(1.8, 1.95) },
  { id: "C12.busy", title: "the same with the other processor busy", ...bounds(1, 1.05) },
  { id: "C13", title: "peak memory of that step ÷ the peer's", ...bounds(0.7, 0.4), atMost: true },
  { id: "C14.call_us", title: "an empty native call, µs", ...bounds(2, 0.5), atMost: true },
  {
    id: "C14.delay_ms",
    title: "event-loop delay while training, 99th percentile, ms",
    ...bounds(10, 2),
    atMost: true,
  },
];

/** The figure's number, if any of its cases has one. */
export function combined(figure: Figure, cases: readonly Result[]): number | undefined {
  const values = cases.map(({ value }) => value).filter((value) => value !== undefined);
  if (values.length === 0) return undefined;
  if (figure.combine === "geomean") {
    return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
  }
  return figure.atMost ? Math.max(...values) : Math.min(...values);
}

export const holds = ({ atMost }: Figure, value: number, bound: number): boolean =>
  atMost ? value <= bound : value >= bound;
