/** Documents of one step in one task, or in all. */
export interface StepCounts {
  in: number;
  out: number;
  /** By reason. `in` is `out` and all of these together. */
  dropped: Record<string, number>;
  /** Time spent in the step itself, all tasks together, waiting for files included. */
  seconds: number;
}

/** What became of documents: `read` is `kept` and all of `dropped` together. */
export interface Counts {
  read: number;
  kept: number;
  /** By reason, all steps together. */
  dropped: Record<string, number>;
  /** By the name of the step, in order; a step's second use is "name#2". */
  steps: Record<string, StepCounts>;
  /** What steps count beside documents. */
  counts: Record<string, number>;
  /** UTF-8 bytes of the texts read. */
  bytes: number;
}

export const noCounts = (labels: readonly string[]): Counts => ({
  read: 0,
  kept: 0,
  dropped: {},
  steps: Object.fromEntries(labels.map((label) => [label, { in: 0, out: 0, dropped: {}, seconds: 0 }])),
  counts: {},
  bytes: 0,
});

export function bump(counts: Record<string, number>, key: string, amount = 1): void {
  counts[key] = (counts[key] ?? 0) + amount;
}

/** The sum; records are ordered by name, so that it doesn't depend on which task ended first. */
export function sumCounts(labels: readonly string[], all: readonly Counts[]): Counts {
  const sum = noCounts(labels);
  for (const one of all) {
    for (const key of ["read", "kept", "bytes"] as const) sum[key] += one[key];
    add(sum.dropped, one.dropped);
    add(sum.counts, one.counts);
    for (const [label, step] of Object.entries(one.steps)) {
      const to = sum.steps[label]!;
      for (const key of ["in", "out", "seconds"] as const) to[key] += step[key];
      add(to.dropped, step.dropped);
    }
  }
  for (const step of [sum, ...Object.values(sum.steps)]) step.dropped = sorted(step.dropped);
  return { ...sum, counts: sorted(sum.counts) };
}

function add(to: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [key, amount] of Object.entries(from)) bump(to, key, amount);
}

const sorted = (counts: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
