import { z } from "zod";
import { evaluateText, openCorpus, sequentialBatches, textBytes } from "../index.ts";
import { modelOptions, withModel } from "./device.ts";
import { command, filePath, jsonOption } from "./options.ts";
import { printJson, printTable } from "./output.ts";

export default command({
  options: z.strictObject({
    ...modelOptions,
    data: filePath().describe("token file (.ds), or text: .txt, .jsonl, also gzipped"),
    batchTokens: z.int().min(1).default(4096).describe("tokens of a batch"),
    ...jsonOption,
  }),
  run: (options) =>
    withModel(options, async ({ model, tokenizer }) => {
      const corpus = await openCorpus(options.data, tokenizer);
      const maxLength = model.config.maxPositionEmbeddings;
      const batches = await sequentialBatches(corpus, { batchTokens: options.batchTokens, maxLength });
      const result = await evaluateText(model, batches, await textBytes(corpus, tokenizer));
      await corpus.close?.();
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
