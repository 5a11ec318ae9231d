import { z } from "zod";
import {
  type LabelledBatch,
  labelledBatches,
  loadModel,
  readLabelled,
  saveAdapter,
  saveModel,
  trainKto,
} from "../index.ts";
import { adapterOf, refuseUnused } from "./adapter_options.ts";
import { maxLengthOf, openReference, pick, preferenceOptions, referenceOption } from "./alignment_options.ts";
import { alignmentLr } from "./optimizer_options.ts";
import { command, filePath } from "./options.ts";
import { noteRows } from "./rows_note.ts";
import { earlierSettings, train, validationOf } from "./training.ts";

export default command({
  options: z.strictObject({
    ...preferenceOptions,
    data: filePath().describe(
      "rows, .jsonl or .parquet: prompt, completion and label; or pairs, which count as two",
    ),
    batchSize: z.int().min(2).default(8).describe("rows of a batch"),
    loss: z.enum(["kto", "apoZeroUnpaired"]).default("kto").describe("what is made least"),
    beta: z.number().positive().default(0.1).describe("how firmly the reference holds the model"),
    desirableWeight: z.number().min(0).default(1).describe("weight of rows that are wanted"),
    undesirableWeight: z
      .number()
      .min(0)
      .default(1)
      .describe("weight of rows that aren't; weight × count should be about the same for both"),
    ...referenceOption,
    lr: alignmentLr(1e-6),
  }),
  earlier: earlierSettings,
  run: (given) =>
    train("kto", given, async ({ device, tokenizer, loop }) => {
      const { out, dtype, seed, batchSize } = given;
      refuseUnused("kto", given);
      const model = await loadModel(given.model, { device, dtype });
      const maxLength = maxLengthOf("kto", given.maxLength, model);
      const read = async (file: string, what: string) => {
        const rows = await readLabelled(file, { tokenizer, maxLength });
        noteRows(what, rows.labelled, rows, maxLength);
        return rows;
      };
      const data = await read(given.data, "rows");
      const validation = await validationOf(given, async (file) => {
        const { labelled } = await read(file, "rows of --validation");
        const source = labelledBatches(labelled, { batchSize, seed, maxLength });
        const batches: LabelledBatch[] = [];
        for (let rows = 0; rows < labelled.length; rows += batches.at(-1)!.rows.length)
          batches.push(await source.batch(batches.length));
        return batches;
      });
      const reference = await openReference(given, { device, tokenizer });
      const adapter = adapterOf(model, given);
      const params = adapter?.params ?? model.params;
      const settings = {
        ...pick(given, "batchSize", "shuffle", "loss", "beta", "desirableWeight", "undesirableWeight"),
        ...pick(given, "recompute", "auxLossCoef", "auxLoss", "zLossCoef"),
      };
      return {
        steps: trainKto({
          ...loop,
          ...validation,
          ...settings,
          ...reference,
          model,
          params,
          data,
          maxLength,
        }),
        save: () => (adapter ? saveAdapter(adapter, out) : saveModel(model, out, { dtype: given.dtype })),
      };
    }),
});
