import { createInterface, type Interface } from "node:readline";
import { z } from "zod";
import { generate, type Model, type Tokenizer } from "../index.ts";
import type { ChatMessage } from "../text/chat_template.ts";
import { modelOptions, withModel } from "./device.ts";
import { command, jsonOption } from "./options.ts";
import { note, printJson } from "./output.ts";
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
      if (process.stdin.isTTY && !given.json)
        note("A line is a turn. Ctrl-C cuts an answer short, Ctrl-D leaves.");
      input.prompt();
      for await (const line of input) {
        if (line.trim() !== "") {
          messages.push({ role: "user", content: line });
          if (fitContext({ model, tokenizer, messages }, given.maxNewTokens))
            messages.push({
              role: "assistant",
              content: await answer({ model, tokenizer, messages }, given, input),
            });
          else messages.pop();
        }
        input.prompt();
      }
    }),
});

interface Chat {
  model: Model;
  tokenizer: Tokenizer;
  messages: ChatMessage[];
}

/**
 * Drops the oldest turns, so that the conversation leaves room for an answer: of maxNewTokens, half of the context at
 * most. False if the last message is too long even alone.
 */
function fitContext({ model, tokenizer, messages }: Chat, maxNewTokens: number): boolean {
  const context = model.config.maxPositionEmbeddings;
  const room = Math.min(maxNewTokens, Math.ceil(context / 2));
  const length = (kept: readonly ChatMessage[]): number =>
    tokenizer.applyChatTemplate(kept, { addGenerationPrompt: true }).length;
  const first = messages[0]?.role === "system" ? 1 : 0;
  let dropped = 0;
  const kept = (): ChatMessage[] => [...messages.slice(0, first), ...messages.slice(first + dropped)];
  while (first + dropped + 1 < messages.length && length(kept()) + room > context) dropped += 2;
  const alone = length(kept());
  if (alone >= context) {
    note(
      `This message is too long: ${alone} tokens with what stands before it, the model's context is ${context}.`,
    );
    return false;
  }
  if (dropped > 0) {
    note(
      `The context of ${context} tokens is full: the oldest ${dropped} messages are left out from here on.`,
    );
    messages.splice(first, dropped);
  }
  return true;
}

async function answer(chat: Chat, given: Options, input: Interface): Promise<string> {
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
