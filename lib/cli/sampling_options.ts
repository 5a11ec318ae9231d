import { z } from "zod";
import type { GenerateOptions } from "../index.ts";

/** How text is drawn. */
export const samplingOptions = {
  maxNewTokens: z.int().min(1).default(256).describe("most tokens to write"),
  temperature: z.number().min(0).default(1).describe("0: always the most probable token"),
  topP: z
    .number()
    .positive()
    .max(1)
    .default(1)
    .describe("smallest set of tokens that reaches this probability"),
  topK: z.int().min(0).default(0).describe("only so many most probable tokens; 0: all"),
  seed: z.int().min(0).default(0).describe("decides what is drawn"),
  stop: z.array(z.string().min(1)).optional().describe("texts that end the answer"),
};
type Options = z.output<z.ZodObject<typeof samplingOptions>>;

export const samplingFrom = (options: Options): Omit<GenerateOptions, "prompt"> => ({
  maxNewTokens: options.maxNewTokens,
  temperature: options.temperature,
  topP: options.topP,
  topK: options.topK,
  seed: options.seed,
  ...(options.stop && { stop: options.stop }),
});
