import { type Subject, subjects, trainingStep } from "./training_step.ts";
import type { BenchCase } from "./workload.ts";

const whole = (subject: Subject): BenchCase => ({
  title: subject.title,
  make: (o) => {
    const { enqueue, tokens, costs } = trainingStep(o.device, o.dtype, subject);
    const { update, ...passes } = costs;
    return { ...passes, step: { tokens, update }, call: () => void enqueue() };
  },
});

const { mixtral, olmoe, dora, lora } = subjects;

/** Forward, backward, clipping and AdamW of a small model on 4 × 512 tokens. */
export const cases: readonly BenchCase[] = [mixtral, olmoe, dora, lora].map(whole);
