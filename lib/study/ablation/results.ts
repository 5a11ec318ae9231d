/** What a model of an ablation scored. */
export interface AblationPoint {
  step: number;
  tokens: number;
  /** Domain → bits per byte. */
  bitsPerByte: Readonly<Record<string, number>>;
  /** Task → share of questions answered rightly, by log-probability and by log-probability a character. */
  choices: Readonly<Record<string, { accuracy: number; accuracyNorm: number; chance: number }>>;
}

export interface AblationResult {
  variant: string;
  seed: number;
  status: "done" | "failed";
  reason?: string;
  points: readonly AblationPoint[];
}

/** One number that variants are compared by. */
export interface Metric {
  name: string;
  /** −1 where less is better. */
  better: 1 | -1;
  of(point: AblationPoint): number;
}

const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Every number of a point, and the means over domains and over tasks where there are several. */
export function metricsOf({ bitsPerByte, choices }: AblationPoint): Metric[] {
  const domains = Object.keys(bitsPerByte);
  const tasks = Object.keys(choices);
  const loss = (name: string, of: Metric["of"]): Metric => ({ name, better: -1, of });
  const score = (name: string, of: Metric["of"]): Metric => ({ name, better: 1, of });
  return [
    ...domains.map((d) => loss(`bits per byte, ${d}`, (p) => p.bitsPerByte[d]!)),
    ...(domains.length > 1
      ? [loss("bits per byte, mean", (p) => average(Object.values(p.bitsPerByte)))]
      : []),
    ...tasks.flatMap((t) => [
      score(`accuracy, ${t}`, (p) => p.choices[t]!.accuracy),
      score(`accuracy by length, ${t}`, (p) => p.choices[t]!.accuracyNorm),
    ]),
    ...(tasks.length > 1
      ? [
          score("accuracy by length, mean", (p) =>
            average(Object.values(p.choices).map(({ accuracyNorm }) => accuracyNorm)),
          ),
        ]
      : []),
  ];
}
