import path from "node:path";
import { z } from "zod";
import { loadOrCreateModel, pretrain, saveModel } from "../index.ts";
import { forkStep } from "../train/checkpoint.ts";
import { optimizerOptions } from "./optimizer_options.ts";
import { command, filePath, UsageError } from "./options.ts";
import { note } from "./output.ts";
import { dataFiles, openData, pretrainDataOptions, stepsOf, validationSets } from "./pretrain_data.ts";
import { earlierSettings, train, trainingOptions } from "./training.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe(
      "model folder; with only config.json and a tokenizer, weights start at random",
    ),
    ...pretrainDataOptions,
    auxLossCoef: z
      .number()
      .min(0)
      .optional()
      .describe("weight of the load-balancing loss; default: router_aux_loss_coef of config.json"),
    routerBiasRate: z
      .number()
      .min(0)
      .optional()
      .describe("step of the routers' biases, which balance the load without a loss; DeepSeek-V3: 0.001"),
    from: filePath()
      .optional()
      .describe("folder of another run, to begin with a checkpoint of: weights, optimizer, step count"),
    fromStep: z.int().min(1).optional().describe("which checkpoint of --from; default: the newest"),
    keepCheckpoints: z.int().min(1).default(2).describe("newest checkpoints that stay"),
    ...trainingOptions,
    validation: pretrainDataOptions.validation,
    steps: trainingOptions.steps
      .optional()
      .describe("updates to do in all, those of --from included; needed without phases"),
    schedule: z
      .enum([...optimizerOptions.schedule.unwrap().options, "rewarm"])
      .default("cosine")
      .describe("way from lr to min-lr, after --from from there; rewarm: warm-up and cosine in each phase"),
  }),
  earlier: async (given) =>
    earlierSettings!(given.phases === undefined ? given : { ...given, data: given.phases, steps: 0 }),
  needed: ({ phases }) => (phases === undefined ? ["data", "steps"] : []),
  run: async (given) => {
    const steps = stepsOf(given);
    if (given.fromStep !== undefined && given.from === undefined)
      throw new UsageError("pretrain: --from-step is given without --from, the run it belongs to");
    const from = given.from === undefined ? undefined : path.join(given.from, "checkpoints");
    const fromStep = from === undefined ? undefined : (given.fromStep ?? (await forkStep({ dir: from })));
    if (fromStep !== undefined && fromStep > steps)
      throw new UsageError(
        `pretrain: --steps is ${steps}, the run in ${given.from} had done ${fromStep} already`,
      );
    const options = { ...given, steps, ...(fromStep !== undefined && { fromStep }) };
    const rateWay = {
      ...(fromStep !== undefined && { first: fromStep }),
      ...(given.phases && { stages: given.phases.map((phase) => phase.steps) }),
    };
    await train(
      "pretrain",
      options,
      async ({ device, open, loop, tokenizer }) => {
        const { seed, recompute, batchTokens, validateEvery, keepCheckpoints: keep } = options;
        const { model, created } = await loadOrCreateModel(options.model, {
          device,
          dtype: options.dtype,
          seed,
        });
        if (created && from === undefined)
          note(`${options.model} has no weights: they start at random, by seed ${seed}`);
        const { auxLossCoef = model.config.routerAuxLossCoef, routerBiasRate = 0 } = options;
        const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
        const { steps: _, ...rest } = loop;
        const checkpoint = {
          ...loop.checkpoint!,
          keep,
          ...(from !== undefined && { from: { dir: from, step: fromStep! } }),
        };
        const sets =
          options.validation && (await validationSets(options.validation, open, { batchTokens, maxLength }));
        const validation = sets && { validation: { every: validateEvery ?? steps, sets } };
        const data = await openData(options, open);
        return {
          steps: pretrain({
            ...rest,
            ...data,
            ...validation,
            checkpoint,
            model,
            tokenizer,
            auxLossCoef,
            routerBiasRate,
            recompute,
            batchTokens,
            maxLength,
          }),
          save: () => saveModel(model, options.out, { tokenizerFrom: options.model }),
        };
      },
      { files: dataFiles(options), rateWay },
    );
  },
});
