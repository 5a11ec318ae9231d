import { z } from "zod";
import { loadOrCreateModel, packedBatches, pretrain, saveModel, sequentialBatches } from "../index.ts";
import { command, filePath, kTextFiles } from "./options.ts";
import { note } from "./output.ts";
import { earlierSettings, train, trainingOptions, validationOf } from "./training.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe(
      "model folder; with only config.json and a tokenizer, weights start at random",
    ),
    data: filePath().describe(`token file (.ds), or text: ${kTextFiles}`),
    auxLossCoef: z
      .number()
      .min(0)
      .optional()
      .describe("weight of the load-balancing loss; default: router_aux_loss_coef of config.json"),
    ...trainingOptions,
  }),
  earlier: earlierSettings,
  run: (options) =>
    train("pretrain", options, async ({ device, open, loop }) => {
      const { seed, recompute } = options;
      const { model, created } = await loadOrCreateModel(options.model, {
        device,
        dtype: options.dtype,
        seed,
      });
      if (created) note(`${options.model} has no weights: they start at random, by seed ${seed}`);
      const { auxLossCoef = model.config.routerAuxLossCoef } = options;
      const { batchTokens } = options;
      const context = model.config.maxPositionEmbeddings;
      const corpus = await open(options.data);
      const validation = await validationOf(options, async (file) =>
        sequentialBatches(await open(file), { batchTokens, maxLength: Math.min(context, batchTokens) }),
      );
      const data = packedBatches(corpus, { batchTokens, maxLength: context, seed });
      return {
        steps: pretrain({ ...loop, ...validation, model, data, auxLossCoef, recompute }),
        save: () => saveModel(model, options.out, { tokenizerFrom: options.model }),
      };
    }),
});
