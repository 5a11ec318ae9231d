import type { Outcome } from "../../bench/papers/adaptation/arms.ts";
import type { Cost } from "../../bench/papers/adaptation/cost.ts";
import type { StudyPoint } from "../../lib/study/results.ts";

/** What an arm shows at the end; its course is a straight line to there, and a seed adds a hundredth. */
export interface FakeArm {
  name: string;
  lr?: number;
  learned: number;
  forgotten: number;
  /** Of 64, for attention and experts. */
  ranks?: readonly [attention: number, experts: number];
  /** ΔM of matrix k at ΔD = k / 100; default falls. */
  magnitude?: (k: number) => number;
}

/** A base at 8 and 2 bits a byte, two points, three seeds. */
export function fakeOutcome(arms: readonly FakeArm[]): Outcome {
  return {
    base: {
      choice: { loss: 8, bitsPerByte: 8 },
      new: { loss: 8, bitsPerByte: 8 },
      old: { loss: 2, bitsPerByte: 2 },
      sha256: "",
    },
    arms: arms.map((arm) => ({
      name: arm.name,
      lr: arm.lr ?? 1e-3,
      sweep: [{ lr: arm.lr ?? 1e-3, loss: 1 }],
      runs: [0, 1, 2].map((seed) => ({
        run: { name: `${arm.name}-${seed}`, method: { label: arm.name, name: "full" }, lr: 1e-3, seed },
        status: "done",
        parameters: 10,
        points: [0.5, 1].map((share) => pointOf(arm, share, seed)),
      })),
    })),
  };
}

function pointOf(arm: FakeArm, share: number, seed: number): StudyPoint {
  const loss = (value: number) => ({ loss: value, bitsPerByte: value });
  const magnitude = arm.magnitude ?? ((k: number) => 1 - k / 10);
  const [attention, experts] = arm.ranks ?? [1, 1];
  return {
    step: 100 * share,
    tokens: 1e5 * share,
    choice: loss(8),
    new: loss(8 - share * (arm.learned + seed / 100)),
    old: loss(2 + share * arm.forgotten),
    drift: [1, 2, 3].flatMap((k) =>
      (["attention", "experts"] as const).map((kind) => ({
        module: `${kind}.${k}`,
        kind,
        direction: k / 100,
        magnitude: magnitude(k) + seed / 1000,
      })),
    ),
    ranks: [
      { module: "attention", kind: "attention", rank: attention * share, of: 64 },
      { module: "experts", kind: "experts", rank: experts * share, of: 64 },
    ],
    unranked: 0,
  };
}

export const fakeCost = (name: string, trainable: number, microsecondsPerToken: number): Cost => ({
  name,
  trainable,
  modelBytes: 400,
  adapterBytes: name === "full" ? 0 : 4 * trainable,
  gradientBytes: 4 * trainable,
  optimizerBytes: 8 * trainable,
  microsecondsPerToken,
  rounds: [microsecondsPerToken],
});
