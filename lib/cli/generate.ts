import { text } from "node:stream/consumers";
import { z } from "zod";
import { generate } from "../index.ts";
import { modelOptions, withModel } from "./device.ts";
import { command, jsonOption, UsageError } from "./options.ts";
import { printJson } from "./output.ts";
import { samplingFrom, samplingOptions } from "./sampling_options.ts";

export default command({
  options: z.strictObject({
    ...modelOptions,
    prompt: z
      .string()
      .optional()
      .describe("text that the model goes on from; default: what comes in on stdin"),
    ...samplingOptions,
    ...jsonOption,
  }),
  run: (options) =>
    withModel(options, async ({ model, tokenizer }) => {
      const prompt = options.prompt ?? (await fromStdin());
      for await (const piece of generate(model, tokenizer, { prompt, ...samplingFrom(options) })) {
        if (options.json) printJson(piece);
        else process.stdout.write(piece.text);
      }
      if (!options.json) process.stdout.write("\n");
    }),
});

function fromStdin(): Promise<string> {
  if (process.stdin.isTTY) throw new UsageError("generate: --prompt is missing, or text on stdin");
  return text(process.stdin);
}
