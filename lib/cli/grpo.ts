import { z } from "zod";
import { trainGrpo } from "../index.ts";
import { pick } from "./alignment_options.ts";
import { alignmentLr } from "./optimizer_options.ts";
import { command } from "./options.ts";
import { policyOptions, policyRun } from "./policy_options.ts";
import { earlierSettings, train } from "./training.ts";

export default command({
  options: z.strictObject({
    ...policyOptions,
    groupSize: z.int().min(2).default(8).describe("completions of each prompt"),
    advantage: z
      .enum(["grpo", "rloo"])
      .default("grpo")
      .describe("of a completion: over its group's mean, divided by scale; or over the mean of the others"),
    scale: z
      .enum(["group", "batch", "none"])
      .optional()
      .describe("whose standard deviation divides the advantages"),
    lossType: z
      .enum(["grpo", "dapo", "dr_grpo", "gspo"])
      .default("dapo")
      .describe("how tokens are averaged, and what has a ratio of its own"),
    epsilonLow: z.number().positive().default(0.2).describe("how far a probability may sink in a step"),
    epsilonHigh: z
      .number()
      .positive()
      .optional()
      .describe("how far it may rise in a step; default: as epsilon-low"),
    beta: z
      .number()
      .min(0)
      .optional()
      .describe("weight of the KL to the reference (default 0, with rloo 0.05)"),
    epochs: z.int().min(1).default(1).describe("times that a rollout is learned from"),
    lr: alignmentLr(1e-6),
  }),
  earlier: earlierSettings,
  run: (given) =>
    train("grpo", given, (context) =>
      policyRun("grpo", given, context, ({ shared }) =>
        trainGrpo({
          ...shared,
          ...pick(given, "groupSize", "advantage", "scale", "lossType", "epsilonLow", "epsilonHigh"),
          ...pick(given, "beta", "epochs"),
        }),
      ),
    ),
});
