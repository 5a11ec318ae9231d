import type { StepMetrics } from "../../index.ts";
import { doraSections, type MagnitudeChange } from "../../report/dora_report.ts";
import { metricsSections } from "../../report/metrics_report.ts";
import { writeReport } from "../../report/page.ts";
import type { Section } from "../../report/sections.ts";

type SampleTexts = ReadonlyMap<string, string>;

/** What a quickstart measured. */
export interface Outcome {
  parameters: number;
  pretraining: readonly StepMetrics[];
  finetuning: readonly StepMetrics[];
  untrained: SampleTexts;
  pretrained: SampleTexts;
  finetuned: SampleTexts;
  /** Module path → magnitude of each row. */
  magnitudes: { initial: ReadonlyMap<string, Float32Array>; final: ReadonlyMap<string, Float32Array> };
}

/** Loss on each validation set at the end of a run. */
export const lossesAfter = (steps: readonly StepMetrics[]): Record<string, number> =>
  steps.findLast((m) => m.validation)?.validation ?? {};

/** Writes report.html. */
export async function writeQuickstartReport(file: string, outcome: Outcome): Promise<void> {
  const { pretraining, finetuning, untrained, pretrained, finetuned, magnitudes } = outcome;
  const named = (name: string, sections: Section[]): Section[] =>
    sections.map((s) => ({ ...s, title: `${name}: ${s.title.toLowerCase()}` }));
  const row = (when: string, steps: readonly StepMetrics[]): (string | number)[] => {
    const { glosses = Number.NaN, declarations = Number.NaN } = lossesAfter(steps);
    return [when, glosses, declarations];
  };
  await writeReport(file, {
    title: "mixwright quickstart",
    created: new Date(),
    settings: {
      model: "mixtral, 4 layers × 8 experts, 2 a token",
      parameters: outcome.parameters,
      "pretraining text": "WordNet glosses",
      "fine-tuning text": "TypeScript declarations",
      adapter: "DoRA, rank 8, every linear layer and every expert",
    },
    sections: [
      {
        kind: "table",
        title: "Loss on text the model has not seen",
        note: "Mean cross-entropy in nats per token, on held-out documents of each text.",
        columns: ["", "glosses", "declarations"],
        rows: [row("after pretraining", pretraining), row("after fine-tuning", finetuning)],
      },
      {
        kind: "samples",
        title: "What pretraining taught",
        columns: ["untrained", "pretrained"],
        samples: [...untrained].map(([prompt, text]) => ({ prompt, texts: [text, pretrained.get(prompt)!] })),
      },
      {
        kind: "samples",
        title: "What fine-tuning changed",
        columns: ["pretrained", "with the adapter"],
        samples: [...pretrained].map(([prompt, text]) => ({ prompt, texts: [text, finetuned.get(prompt)!] })),
      },
      ...named("Pretraining", metricsSections(pretraining)),
      ...named("Fine-tuning", metricsSections(finetuning)),
      ...doraSections(
        [...magnitudes.initial].map(([path, before]) => changeOf(path, before, magnitudes.final.get(path)!)),
      ),
    ],
  });
}

function changeOf(path: string, before: Float32Array, after: Float32Array): MagnitudeChange {
  const ratios = before.map((m, i) => after[i]! / m);
  return {
    path,
    mean: ratios.reduce((a, b) => a + b, 0) / ratios.length,
    min: Math.min(...ratios),
    max: Math.max(...ratios),
  };
}
