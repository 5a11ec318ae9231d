import { doraSections, type MagnitudeChange } from "../../lib/report/dora_report.ts";
import { metricsSections } from "../../lib/report/metrics_report.ts";
import type { Report } from "../../lib/report/sections.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";

/** Numbers in [0, 1) that look random, the same in every run. */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Metrics as a run of a small MoE model would write them: 4 sparse layers of 8 experts, two validation sets. */
export function fakeMetrics(steps = 1200, experts = 8, layers = 4): StepMetrics[] {
  const random = uniform(7);
  const noise = (): number => random() + random() + random() - 1.5;
  return Array.from({ length: steps }, (_, i) => {
    const step = i + 1;
    const done = step / steps;
    const base = 2.1 + 6.4 * Math.exp(-done * 22) + 0.9 * Math.exp(-done * 3);
    const measured = step === 1 || step % Math.ceil(steps / 24) === 0;
    return {
      step,
      loss: base + 0.16 * noise(),
      lr: 6e-4 * Math.min(1, step / (0.05 * steps)) * (0.55 + 0.45 * Math.cos(Math.PI * done)),
      gradNorm: (0.35 + 3 * Math.exp(-done * 20)) * Math.exp(0.35 * noise()) * (random() > 0.996 ? 12 : 1),
      tokensPerSecond: 1840 + 90 * noise() - (random() > 0.98 ? 500 : 0),
      tokens: step * 2048,
      auxLoss: 1.02 + 0.7 * Math.exp(-done * 9) + 0.02 * noise(),
      zLoss: 4 + 9 * Math.exp(-done * 6) + 0.3 * noise(),
      ...(measured && {
        validation: { "tiny-shakespeare": base + 0.08 + 0.25 * done, wordnet: base + 0.42 - 0.2 * done },
        expertLoad: Array.from({ length: layers }, () => {
          const raw = Array.from({ length: experts }, () =>
            Math.exp((0.25 + 1.2 * Math.exp(-6 * done)) * noise()),
          );
          if (done > 0.5) raw[experts - 1]! *= 0.02;
          const sum = raw.reduce((a, b) => a + b);
          return raw.map((x) => x / sum);
        }),
      }),
    };
  });
}

export function fakeMagnitudes(): MagnitudeChange[] {
  const random = uniform(11);
  const modules = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
  return [0, 1, 2, 3].flatMap((layer) =>
    [...modules, "mlp.experts.gate_proj", "mlp.experts.up_proj", "mlp.experts.down_proj"].map((name) => {
      const mean = 1 + 0.05 * (random() - 0.35);
      const path = `model.layers.${layer}.${name}`;
      return { path, mean, min: mean - 0.06 * random(), max: mean + 0.09 * random() };
    }),
  );
}

const kProse =
  "The owl waited on the old gate until the lamps went out, one after another, along the river. Then she flew.";

/** A report with every kind of section. */
export function fakeReport(): Report {
  return {
    title: "OLMoE-tiny · DoRA on Shakespeare",
    created: new Date("2026-03-14T15:09:26Z"),
    settings: {
      model: "olmoe-tiny (4 layers × 8 experts, top 2)",
      parameters: 12_683_264,
      adapter: "DoRA, rank 8, alpha 16",
      optimizer: "adamw, weight decay 0.1",
      "learning rate": 6e-4,
      "tokens per step": 2048,
      seed: 42,
      device: "cpu, 2 threads, avx2",
    },
    sections: [
      ...metricsSections(fakeMetrics()),
      ...doraSections(fakeMagnitudes()),
      {
        kind: "scatter",
        title: "Learning against forgetting",
        xLabel: "forgotten",
        yLabel: "learned",
        series: [
          { name: "full", points: [{ x: 0.52, y: 1.31, label: "full, lr 1e-4" }], line: false },
          {
            name: "lora",
            line: true,
            points: [0, 1, 2, 3].map((k) => ({ x: 0.05 * k, y: 1.1 * Math.sqrt(k / 3) })),
          },
        ],
      },
      {
        kind: "samples",
        title: "Samples",
        note: "Greedy answers of the same model before and after training.",
        columns: ["Before", "After"],
        samples: [
          {
            prompt: "Write one sentence about an owl.",
            texts: ["owl owl the the of\n\n\n of \u0007 and </div> owl owl owl owl the <unk>", kProse],
          },
          { prompt: "Q: What is 2 + 2?\nA:", texts: ["", "4"] },
          { prompt: "Greet me in Arabic.", texts: ["aaaa".repeat(60), "مرحبا بك، كيف حالك اليوم؟"] },
        ],
      },
      {
        kind: "table",
        title: "Evaluation",
        columns: ["Set", "Metric", "Before", "After"],
        rows: [
          ["tiny-shakespeare", "loss", 3.9123, 2.4071],
          ["wordnet", "loss", 3.7714, 2.3498],
          ["wordnet", "tokens", 131072, 131072],
        ],
      },
      {
        kind: "text",
        title: "How to repeat this run",
        text: "mixwright train --config runs/shakespeare.yaml\n\nThe seed fixes every bit: two runs on one device give the same losses.",
      },
    ],
  };
}
