import { createInterface, type Interface } from "node:readline";
import { z } from "zod";
import { generate, type Model, type Tokenizer } from "../index.ts";
import type { ChatMessage } from "../text/chat_template.ts";
import { modelOptions, withModel } from "./device.ts";
import { command, jsonOption } from "./options.ts";
import { printJson } from "./output.ts";
import { samplingFrom, samplingOptions } from "./sampling_options.ts";

const options = z.strictObject({
  ...modelOptions,
  system: z.string().optional().describe("what the model is told before the conversation"),
  ...samplingOptions,
  ...jsonOption,
});
type Options = z.output<typeof options>;

/** Each line of stdin is a turn. On a terminal, Ctrl-C cuts an answer short, or leaves; Ctrl-D leaves. */
export default command({
  options,
  run: (given) =>
    withModel(given, async ({ model, tokenizer }) => {
      const messages: ChatMessage[] =
        given.system === undefined ? [] : [{ role: "system", content: given.system }];
      const input = createInterface({
        input: process.stdin,
        ...(process.stdin.isTTY && !given.json && { output: process.stdout, prompt: "> " }),
      });
      input.prompt();
      for await (const line of input) {
        if (line.trim() !== "") {
          messages.push({ role: "user", content: line });
          messages.push({
            role: "assistant",
            content: await answer({ model, tokenizer, messages }, given, input),
          });
        }
        input.prompt();
      }
    }),
});

async function answer(
  chat: { model: Model; tokenizer: Tokenizer; messages: readonly ChatMessage[] },
  given: Options,
  input: Interface,
): Promise<string> {
  const interrupt = new AbortController();
  const stop = (): void => interrupt.abort();
  if (process.stdin.isTTY) input.on("SIGINT", stop);
  let content = "";
  try {
    const { model, tokenizer, messages } = chat;
    const { signal } = interrupt;
    for await (const { text } of generate(model, tokenizer, { messages, ...samplingFrom(given), signal })) {
      content += text;
      if (!given.json) process.stdout.write(text);
    }
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
  } finally {
    input.off("SIGINT", stop);
  }
  if (given.json) printJson({ role: "assistant", content });
  else process.stdout.write("\n");
  return content;
}
