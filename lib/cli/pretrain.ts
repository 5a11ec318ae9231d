import { z } from "zod";
import { openCorpus } from "../data/open_corpus.ts";
import { packedBatches } from "../data/packed_batches.ts";
import { pretrain, saveModel } from "../index.ts";
import { command, filePath } from "./options.ts";
import { earlierSettings, train, trainingOptions } from "./training.ts";

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
    train("pretrain", options, async ({ model, tokenizer, loop }) => {
      const { batchTokens, seed, auxLossCoef = model.config.routerAuxLossCoef, recompute } = options;
      const maxLength = model.config.maxPositionEmbeddings;
      const corpus = await openCorpus(options.data, tokenizer);
      const data = packedBatches(corpus, { batchTokens, maxLength, seed });
      return {
        steps: pretrain({ ...loop, model, data, auxLossCoef, recompute }),
        save: () => saveModel(model, options.out, { tokenizerFrom: options.model }),
      };
    }),
});
