import { z } from "zod";
import { loadModel, packExamples, readExamples, saveAdapter, saveModel, trainSft } from "../index.ts";
import { adapterOf, adapterOptions, refuseUnused } from "./adapter_options.ts";
import { command, filePath } from "./options.ts";
import { noteRows } from "./rows_note.ts";
import { earlierSettings, train, trainingOptions, validationOf } from "./training.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe("model folder"),
    data: filePath().describe("examples, .jsonl or .parquet: text, or messages, or prompt and completion"),
    ...adapterOptions,
    completionOnly: z
      .boolean()
      .default(true)
      .describe("learn only the completion of rows with prompt and completion"),
    assistantOnly: z.boolean().default(false).describe("learn only what the assistant says in conversations"),
    auxLossCoef: z.number().min(0).default(0).describe("weight of the load-balancing loss"),
    ...trainingOptions,
  }),
  earlier: earlierSettings,
  run: (given) =>
    train("sft", given, async ({ device, tokenizer, loop }) => {
      const { out, batchTokens, completionOnly, assistantOnly, auxLossCoef, recompute } = given;
      refuseUnused("sft", given);
      const model = await loadModel(given.model, { device, dtype: given.dtype });
      const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
      const read = (file: string) =>
        readExamples(file, { tokenizer, maxLength, completionOnly, assistantOnly });
      const data = await read(given.data);
      noteRows("examples", data.examples, data, maxLength);
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
