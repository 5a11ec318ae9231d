import { z } from "zod";
import { evaluateText, openCorpus, sequentialBatches, type TextEvaluation, textBytes } from "../index.ts";
import { modelOptions, withModel } from "./device.ts";
import { command, filePath, jsonOption, kTextFiles } from "./options.ts";
import { printJson, printTable } from "./output.ts";

export default command({
  options: z.strictObject({
    ...modelOptions,
    data: filePath().describe(`token file (.ds), or text: ${kTextFiles}`),
    batchTokens: z
      .int()
      .min(1)
      .default(4096)
      .describe(
        "tokens of a batch; what it is doesn't matter to the result: documents are cut at the model's context only (see mixwright info)",
      ),
    ...jsonOption,
  }),
  run: (options) =>
    withModel(options, async ({ model, tokenizer }) => {
      const corpus = await openCorpus(options.data, tokenizer);
      const measure = async (): Promise<TextEvaluation> => {
        const { batchTokens } = options;
        const maxLength = model.config.maxPositionEmbeddings;
        const batches = await sequentialBatches(corpus, { batchTokens, maxLength });
        return evaluateText(model, batches, await textBytes(corpus, tokenizer));
      };
      const result = await measure().finally(() => corpus.close?.());
      if (options.json) printJson({ documents: corpus.documents, ...result });
      else {
        printTable([
          ["documents", corpus.documents],
          ["tokens", result.tokens],
          ["loss", result.loss.toFixed(4)],
          ["perplexity", result.perplexity.toPrecision(5)],
          ["bits a byte", result.bitsPerByte.toFixed(4)],
        ]);
      }
    }),
});
