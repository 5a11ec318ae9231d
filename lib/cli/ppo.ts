import { existsSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { attachRewardHead, loadModel, type ScoreHead, trainPpo } from "../index.ts";
import { pick, requireSameTokens } from "./alignment_options.ts";
import { alignmentLr } from "./optimizer_options.ts";
import { command, filePath, UsageError } from "./options.ts";
import { type PolicyContext, policyOptions, policyRun } from "./policy_options.ts";
import { kRewardHead, openRewardModel } from "./reward_source.ts";
import { earlierSettings, train } from "./training.ts";

const options = z.strictObject({
  ...policyOptions,
  value: filePath()
    .optional()
    .describe(
      "folder of a model, or of a reward model, for a value function apart; default: a new head on the model that trains",
    ),
  epochs: z.int().min(1).default(4).describe("times that a rollout is learned from"),
  klCoef: z.number().min(0).default(0.05).describe("weight of the KL to the reference, at first"),
  klTarget: z
    .number()
    .positive()
    .optional()
    .describe("KL of a completion to steer kl-coef towards; default: it stays"),
  klHorizon: z
    .number()
    .positive()
    .optional()
    .describe("completions in which kl-coef may about double (default 10000)"),
  klEstimator: z.enum(["k1", "k2", "k3"]).default("k1").describe("how the KL of a token is estimated"),
  gamma: z.number().min(0).max(1).default(1).describe("what a reward counts a token later"),
  lambda: z.number().min(0).max(1).default(0.95).describe("of generalized advantage estimation"),
  clipRange: z.number().positive().default(0.2).describe("how far a token's probability may go in a step"),
  valueClip: z.number().positive().default(0.2).describe("how far a value may go in a step"),
  valueCoef: z.number().positive().default(0.1).describe("weight of the value function's loss"),
  whitenRewards: z.boolean().default(false).describe("divide rewards by their standard deviation"),
  normalizeAdvantages: z
    .boolean()
    .default(true)
    .describe("advantages with mean 0 and variance 1 over a rollout"),
  lr: alignmentLr(3e-6),
});
type Options = z.output<typeof options>;

export default command({
  options,
  earlier: earlierSettings,
  run: (given) => {
    const klCoef = klCoefOf(given);
    return train("ppo", given, (context) =>
      policyRun("ppo", given, context, async (opened) =>
        trainPpo({
          ...opened.shared,
          ...(await openValue(given, opened)),
          ...pick(given, "epochs", "klEstimator", "gamma", "lambda", "valueClip", "valueCoef"),
          ...pick(given, "whitenRewards", "normalizeAdvantages"),
          clip: given.clipRange,
          klCoef,
        }),
      ),
    );
  },
});

function klCoefOf({ klCoef: initial, klTarget: target, klHorizon: horizon }: Options) {
  if (target !== undefined) return { initial, target, horizon };
  if (horizon === undefined) return initial;
  throw new UsageError("ppo: --kl-horizon is a setting of a steered KL. Give --kl-target with it");
}

async function openValue(
  { value: folder, dtype, seed }: Options,
  { device, tokenizer }: PolicyContext,
): Promise<{ value?: ScoreHead }> {
  if (folder === undefined) return {};
  if (existsSync(path.join(folder, "adapter_config.json")))
    throw new UsageError(
      `ppo: --value ${folder} is an adapter, a model was needed. mixwright merge makes one`,
    );
  if (existsSync(path.join(folder, kRewardHead)))
    return { value: await openRewardModel("--value", { reward: folder, dtype }, { device, tokenizer }) };
  await requireSameTokens("--value", folder, tokenizer);
  return { value: attachRewardHead(await loadModel(folder, { device, dtype }), { seed }) };
}
