import path from "node:path";
import { z } from "zod";
import { attachRewardHead, loadModel, saveAdapter, saveModel, trainReward } from "../index.ts";
import { adapterOf, refuseUnused } from "./adapter_options.ts";
import { openPairs, pairsOption, pick, preferenceOptions } from "./alignment_options.ts";
import { alignmentLr } from "./optimizer_options.ts";
import { command } from "./options.ts";
import { kRewardHead } from "./reward_source.ts";
import { earlierSettings, train } from "./training.ts";

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
      const { out, dtype, seed } = given;
      refuseUnused("reward", given);
      const model = await loadModel(given.model, { device, dtype });
      const { data, validation, maxLength } = await openPairs("reward", given, model, tokenizer);
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
