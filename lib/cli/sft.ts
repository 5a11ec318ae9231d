import { z } from "zod";
import {
  attachDora,
  attachLora,
  type Examples,
  loadModel,
  type Model,
  packExamples,
  readExamples,
  saveAdapter,
  saveModel,
  trainSft,
} from "../index.ts";
import { command, filePath, UsageError } from "./options.ts";
import { note } from "./output.ts";
import { earlierSettings, train, trainingOptions, validationOf } from "./training.ts";

const adapterOptions = {
  rank: z.int().min(1).optional().describe("rank of the adapter (default 8)"),
  alpha: z.number().positive().optional().describe("scale of the adapter: alpha / rank (default 8)"),
  targets: z
    .array(z.string().min(1))
    .optional()
    .describe(
      "layers that the adapter goes to, by the end of their names, or all-linear (default q_proj v_proj)",
    ),
  dropout: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe("probability of dropping an input of the adapter (default 0)"),
};

const options = z.strictObject({
  model: filePath().describe("model folder"),
  data: filePath().describe("examples, .jsonl or .parquet: text, or messages, or prompt and completion"),
  adapter: z
    .enum(["none", "lora", "dora"])
    .default("none")
    .describe("train an adapter instead of all weights"),
  ...adapterOptions,
  completionOnly: z
    .boolean()
    .default(true)
    .describe("learn only the completion of rows with prompt and completion"),
  assistantOnly: z.boolean().default(false).describe("learn only what the assistant says in conversations"),
  auxLossCoef: z.number().min(0).default(0).describe("weight of the load-balancing loss"),
  ...trainingOptions,
});
type Options = z.output<typeof options>;

export default command({
  options,
  earlier: earlierSettings,
  run: (given) =>
    train("sft", given, async ({ device, tokenizer, loop }) => {
      const { out, batchTokens, completionOnly, assistantOnly, auxLossCoef, recompute } = given;
      refuseUnused(given);
      const model = await loadModel(given.model, { device, dtype: given.dtype });
      const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
      const read = (file: string) =>
        readExamples(file, { tokenizer, maxLength, completionOnly, assistantOnly });
      const data = await read(given.data);
      describe(data, maxLength);
      const validation = await validationOf(given, async (file) =>
        packExamples((await read(file)).examples, batchTokens),
      );
      const adapter = adapterOf(model, given);
      const params = adapter?.params ?? model.params;
      return {
        steps: trainSft({ ...loop, ...validation, model, params, data, batchTokens, auxLossCoef, recompute }),
        save: () => (adapter ? saveAdapter(adapter, out) : saveModel(model, out)),
      };
    }),
});

function adapterOf(model: Model, { adapter, rank, alpha, targets, dropout, seed }: Options) {
  if (adapter === "none") return undefined;
  const attach = adapter === "dora" ? attachDora : attachLora;
  return attach(model, {
    rank,
    alpha,
    targets: targets?.join() === "all-linear" ? "all-linear" : targets,
    dropout,
    seed,
  });
}

function refuseUnused(given: Options): void {
  if (given.adapter !== "none") return;
  const key = (Object.keys(adapterOptions) as (keyof typeof adapterOptions)[]).find(
    (name) => given[name] !== undefined,
  );
  if (key)
    throw new UsageError(`sft: --${key} is a setting of adapters. Give --adapter lora or dora with it`);
}

function describe({ examples, truncated, dropped }: Examples, maxLength: number): void {
  const [first] = dropped;
  if (truncated > 0) note(`${truncated} of ${examples.length} examples are cut to ${maxLength} tokens`);
  if (first)
    note(`${dropped.length} examples are left out, the first in line ${first.line}: ${first.reason}`);
}
