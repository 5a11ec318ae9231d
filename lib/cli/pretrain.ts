import { z } from "zod";
import {
  loadOrCreateModel,
  openCorpus,
  packedBatches,
  pretrain,
  saveModel,
  sequentialBatches,
} from "../index.ts";
import { command, filePath } from "./options.ts";
import { note } from "./output.ts";
import { earlierSettings, train, trainingOptions, validationOf } from "./training.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe(
      "model folder; with only config.json and a tokenizer, weights start at random",
    ),
    data: filePath().describe("token file (.ds), or text: .txt, .jsonl, also gzipped"),
    auxLossCoef: z
      .number()
      .min(0)
      .optional()
      .describe("weight of the load-balancing loss; default: router_aux_loss_coef of config.json"),
    ...trainingOptions,
  }),
  earlier: earlierSettings,
  run: (options) =>
    train("pretrain", options, async ({ device, tokenizer, loop }) => {
      const { seed, recompute } = options;
      const { model, created } = await loadOrCreateModel(options.model, {
        device,
        dtype: options.dtype,
        seed,
      });
      if (created) note(`${options.model} has no weights: they start at random, by seed ${seed}`);
      const { auxLossCoef = model.config.routerAuxLossCoef } = options;
      const sizes = { batchTokens: options.batchTokens, maxLength: model.config.maxPositionEmbeddings };
      const corpus = await openCorpus(options.data, tokenizer);
      const validation = await validationOf(options, async (file) =>
        sequentialBatches(await openCorpus(file, tokenizer), sizes),
      );
      const data = packedBatches(corpus, { ...sizes, seed });
      return {
        steps: pretrain({ ...loop, ...validation, model, data, auxLossCoef, recompute }),
        save: async () => {
          await corpus.close?.();
          await saveModel(model, options.out, { tokenizerFrom: options.model });
        },
      };
    }),
});
