import { z } from "zod";
import {
  type Device,
  loadModel,
  type Prompts,
  type RewardFunction,
  readPrompts,
  saveAdapter,
  saveModel,
  type Tokenizer,
} from "../index.ts";
import { adapterOf, refuseUnused } from "./adapter_options.ts";
import { alignmentOptions, openReference, pick, referenceOption } from "./alignment_options.ts";
import { filePath, UsageError } from "./options.ts";
import { openReward } from "./reward_source.ts";
import { noteRows } from "./rows_note.ts";
import { type Context, type Run, runOptions } from "./training.ts";
import { remembering } from "./written_samples.ts";

/** What trainers take that let the policy write. */
export const policyOptions = {
  ...alignmentOptions,
  data: filePath().describe("prompts, .jsonl or .parquet: prompt, and what else the reward wants to read"),
  reward: filePath().describe(
    "folder of a reward model (mixwright reward), or a module whose default export scores samples (.js, .mjs)",
  ),
  rewardBase: filePath()
    .optional()
    .describe("model that an adapter in --reward is for; default: the one its adapter_config.json names"),
  ...referenceOption,
  referenceDecay: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe("what stays of the reference a step, while it follows the policy; 1: it stays as it is"),
  batchSize: z.int().min(1).default(32).describe("prompts of a step"),
  maxNewTokens: z.int().min(1).default(64).describe("most tokens of a completion"),
  maxLength: z
    .int()
    .min(1)
    .optional()
    .describe("most tokens of a prompt; default: what the model's context leaves beside max-new-tokens"),
  temperature: z.number().positive().default(1).describe("of the policy, when it writes and when it learns"),
  topK: z.int().min(0).default(0).describe("only so many most probable tokens; 0: all"),
  topP: z
    .number()
    .positive()
    .max(1)
    .default(1)
    .describe("smallest set of tokens that reaches this probability"),
  missingEosPenalty: z
    .number()
    .default(0)
    .describe("subtracted from the score of a completion that was cut off"),
  scoreClip: z
    .number()
    .positive()
    .optional()
    .describe("scores count from minus this to this; default: as they are"),
  minibatches: z.int().min(1).default(1).describe("updates an epoch"),
  samplesEvery: z
    .int()
    .min(0)
    .default(10)
    .describe("steps between samples of what the policy writes, in samples.jsonl; 0: none"),
  steps: runOptions.steps.describe(
    "rollouts to learn from in all; more of them with --resume stretch the learning rate's way",
  ),
  checkpointEvery: runOptions.checkpointEvery
    .unwrap()
    .default(50)
    .describe("steps between checkpoints; 0: at the end only"),
  accumulationSteps: runOptions.accumulationSteps.describe(
    "parts that a minibatch is cut into, to save memory",
  ),
};

type Options = z.output<z.ZodObject<typeof policyOptions>>;

/** What a trainer is given whose policy writes. */
export interface PolicyContext {
  device: Device;
  tokenizer: Tokenizer;
  /** Options that these trainers share. */
  shared: Awaited<ReturnType<typeof openShared>>["shared"];
}

/** A run of a trainer whose policy writes: `begin` makes its steps. */
export async function policyRun(
  command: string,
  given: Options,
  { device, tokenizer, loop }: Context,
  begin: (context: PolicyContext) => Run["steps"] | Promise<Run["steps"]>,
): Promise<Run> {
  const { adapter, shared, written } = await openShared(command, given, { device, tokenizer, loop });
  const { out } = given;
  return {
    steps: await begin({ device, tokenizer, shared }),
    save: () => (adapter ? saveAdapter(adapter, out) : saveModel(shared.model, out, { dtype: given.dtype })),
    written,
  };
}

async function openShared(
  command: string,
  given: Options,
  { device, tokenizer, loop }: Pick<Context, "device" | "tokenizer" | "loop">,
) {
  refuseUnused(command, given);
  if (given.referenceDecay !== 1 && given.reference !== undefined) {
    throw new UsageError(
      `${command}: --reference-decay moves the policy's own start, and --reference is given. Leave one out`,
    );
  }
  const opened = await openReward(given, { device, tokenizer });
  const { reward, written } = remembering(opened, given.samplesEvery);
  const model = await loadModel(given.model, { device, dtype: given.dtype });
  const room = model.config.maxPositionEmbeddings - given.maxNewTokens;
  const { maxLength = room } = given;
  if (maxLength > room || room < 1) {
    const context = `the model's context of ${model.config.maxPositionEmbeddings} tokens`;
    throw new UsageError(
      `${command}: --max-length ${maxLength} and --max-new-tokens ${given.maxNewTokens} go beyond ${context}`,
    );
  }
  const data: Prompts = await readPrompts(given.data, { tokenizer, maxLength });
  noteRows("prompts", data.prompts, data, maxLength);
  const reference = await openReference(given, { device, tokenizer });
  const adapter = adapterOf(model, given);
  const params = adapter?.params ?? model.params;
  const shared = {
    ...loop,
    ...pick(given, "batchSize", "shuffle", "maxNewTokens", "temperature", "topK", "topP", "scoreClip"),
    ...pick(given, "missingEosPenalty", "referenceDecay", "minibatches"),
    ...pick(given, "recompute", "auxLossCoef", "auxLoss", "zLossCoef"),
    ...reference,
    reward: reward satisfies RewardFunction,
    model,
    params,
    tokenizer,
    data,
    maxLength,
  };
  return { adapter, shared, written };
}
