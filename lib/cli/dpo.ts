import { z } from "zod";
import { nearest } from "../core/nearest.ts";
import { loadModel, saveAdapter, saveModel, trainDpo } from "../index.ts";
import { type PairLossName, pairLosses, pairLossOf } from "../train/pair_losses.ts";
import { adapterOf, refuseUnused } from "./adapter_options.ts";
import {
  openPairs,
  openReference,
  pairsOption,
  pick,
  preferenceOptions,
  referenceOption,
} from "./alignment_options.ts";
import { alignmentLr } from "./optimizer_options.ts";
import { command, UsageError } from "./options.ts";
import { earlierSettings, train } from "./training.ts";

const kLosses = Object.keys(pairLosses);

export default command({
  options: z.strictObject({
    ...preferenceOptions,
    ...pairsOption,
    loss: z
      .array(z.string().min(1))
      .default(["dpo"])
      .describe(`${kLosses.join(", ")}; or several with weights, dpo:0.8 bcoPair:0.2 sft:1`),
    beta: z.number().positive().optional().describe("how firmly the reference holds (default 0.1, simpo 2)"),
    labelSmoothing: z
      .number()
      .min(0)
      .lt(0.5)
      .optional()
      .describe("share of labels that may be wrong (default 0, exoPair 0.001)"),
    divergence: z
      .enum(["reverseKl", "forwardKl", "js"])
      .optional()
      .describe("from the reference (default reverseKl)"),
    tau: z.number().positive().optional().describe("temperature of discopop (default 0.05)"),
    gamma: z.number().optional().describe("margin of simpo (default 0.5)"),
    gammaBetaRatio: z.number().optional().describe("margin of simpo as a multiple of beta"),
    cpoAlpha: z
      .number()
      .min(0)
      .optional()
      .describe("cpo's weight of the likelihood of what was chosen (default 1)"),
    ldAlpha: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe("weight of tokens beyond the length that chosen and rejected share"),
    ...referenceOption,
    lr: alignmentLr(1e-6),
  }),
  earlier: earlierSettings,
  run: (given) => {
    const loss = lossOf(given.loss);
    return train("dpo", given, async ({ device, tokenizer, loop }) => {
      const { out, dtype } = given;
      refuseUnused("dpo", given);
      const model = await loadModel(given.model, { device, dtype });
      const { data, validation, maxLength } = await openPairs("dpo", given, model, tokenizer);
      const reference = await openReference(given, { device, tokenizer });
      const adapter = adapterOf(model, given);
      const params = adapter?.params ?? model.params;
      const settings = {
        ...pick(given, "beta", "labelSmoothing", "divergence", "tau", "gamma", "gammaBetaRatio", "ldAlpha"),
        ...pick(given, "batchSize", "shuffle", "recompute", "auxLossCoef", "auxLoss", "zLossCoef"),
        alpha: given.cpoAlpha,
      };
      return {
        steps: trainDpo({
          ...loop,
          ...validation,
          ...settings,
          ...reference,
          loss,
          model,
          params,
          data,
          maxLength,
        }),
        save: () => (adapter ? saveAdapter(adapter, out) : saveModel(model, out, { dtype: given.dtype })),
      };
    });
  },
});

/** "dpo", or "dpo:0.8" and more, as the trainer takes them. Throws UsageError, with the nearest, for one there isn't. */
function lossOf(words: readonly string[]): PairLossName | { loss: PairLossName; weight: number }[] {
  const terms = words.map((word) => {
    const [written = "", weight = "1", ...more] = word.split(":");
    const loss = pairLossOf(written);
    if (!loss) {
      const meant = nearest(written, kLosses);
      throw new UsageError(
        `dpo: --loss is "${written}"${meant ? `, is it ${meant}?` : "."} Known are ${kLosses.join(", ")}`,
      );
    }
    if (more.length > 0 || weight.trim() === "" || !(Number(weight) > 0))
      throw new UsageError(`dpo: --loss is "${word}", NAME:WEIGHT with a weight above 0 was needed`);
    return { loss, weight: Number(weight) };
  });
  const [first] = terms;
  return terms.length === 1 && first!.weight === 1 ? first!.loss : terms;
}
