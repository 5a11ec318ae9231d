import type { WrittenSample } from "../train/run_folder.ts";
import { numberText } from "./number_text.ts";
import type { Section } from "./sections.ts";

/** Steps whose samples are shown: the first, the last, and between. */
const kSteps = 4;

/** What the policy wrote over the run, and how it was scored; nothing without samples. */
export function writtenSections(samples: readonly WrittenSample[]): Section[] {
  const steps = [...new Set(samples.map(({ step }) => step))];
  if (steps.length === 0) return [];
  const count = Math.min(steps.length, kSteps);
  const chosen = Array.from(
    { length: count },
    (_, i) => steps[Math.round((i * (steps.length - 1)) / Math.max(count - 1, 1))]!,
  );
  return chosen.map((step) => ({
    kind: "samples",
    title: `Written in step ${numberText(step)}`,
    note: "Some of the step's completions, before it was learned from. All that were kept stand in samples.jsonl.",
    columns: ["Completion", "Score"],
    samples: samples
      .filter((sample) => sample.step === step)
      .map(({ prompt, completion, score, finished }) => ({
        prompt,
        texts: [completion, `${numberText(score)}${finished === "stop" ? "" : ", cut off"}`],
      })),
  }));
}
