import path from "node:path";
import { z } from "zod";
import {
  attachRewardHead,
  loadModel,
  packPairs,
  readPairs,
  saveAdapter,
  saveModel,
  trainReward,
} from "../index.ts";
import { adapterOf, refuseUnused } from "./adapter_options.ts";
import { maxLengthOf, pairsOption, pick, preferenceOptions } from "./alignment_options.ts";
import { alignmentLr } from "./optimizer_options.ts";
import { command } from "./options.ts";
import { kRewardHead } from "./reward_source.ts";
import { noteRows } from "./rows_note.ts";
import { earlierSettings, train, validationOf } from "./training.ts";

export default command({
  options: z.strictObject({
    ...preferenceOptions,
    ...pairsOption,
    lr: alignmentLr(1e-4),
    centering: z
      .number()
      .min(0)
      .default(0)
      .describe("weight of a loss that holds the rewards of a pair around 0"),
  }),
  earlier: earlierSettings,
  run: (given) =>
    train("reward", given, async ({ device, tokenizer, loop }) => {
      const { out, dtype, seed, batchSize } = given;
      refuseUnused("reward", given);
      const model = await loadModel(given.model, { device, dtype });
      const maxLength = maxLengthOf("reward", given.maxLength, model);
      const read = async (file: string, what: string) => {
        const rows = await readPairs(file, { tokenizer, maxLength });
        noteRows(what, rows.pairs, rows, maxLength);
        return rows;
      };
      const data = await read(given.data, "pairs");
      const validation = await validationOf(given, async (file) =>
        packPairs((await read(file, "pairs of --validation")).pairs, batchSize),
      );
      const head = attachRewardHead(model, { seed });
      const adapter = adapterOf(model, given);
      const params = adapter && { ...adapter.params, ...head.params };
      const settings = pick(
        given,
        ...([
          "batchSize",
          "shuffle",
          "centering",
          "recompute",
          "auxLossCoef",
          "auxLoss",
          "zLossCoef",
        ] as const),
      );
      return {
        steps: trainReward({ ...loop, ...validation, ...settings, model, head, params, data, maxLength }),
        save: async () => {
          await (adapter ? saveAdapter(adapter, out) : saveModel(model, out, { dtype: given.dtype }));
          await head.save(path.join(out, kRewardHead));
        },
      };
    }),
});
