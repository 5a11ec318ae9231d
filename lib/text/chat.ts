import { ConfigError } from "../core/errors.ts";
import type { ChatMessage, ChatTemplateOptions } from "./chat_template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A conversation as token ids; `assistant[i]` says that the model itself is to write ids[i]. */
export interface RenderedChat {
  readonly ids: number[];
  readonly assistant: boolean[];
}

/**
 * Token ids of a conversation, and which of them belong to assistant turns: the content, and the special token that
 * ends the turn, without the turn's header before and the template's white space behind.
 *
 * Found by rendering the messages before a turn with a generation prompt (what the model will be given) and the
 * messages up to it (what it then should have written): each must begin the next, as text and as tokens.
 * @throws ConfigError if the template is not like that, so that training would see other tokens than generation.
 */
export function renderChat(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: Omit<ChatTemplateOptions, "addGenerationPrompt"> = {},
): RenderedChat {
  const ids = tokenizer.applyChatTemplate(messages, options);
  const assistant = new Array<boolean>(ids.length).fill(false);
  const lengthOf = (count: number, addGenerationPrompt: boolean): number => {
    const part = tokenizer.applyChatTemplate(messages.slice(0, count), { ...options, addGenerationPrompt });
    const same = part.findIndex((id, i) => id !== ids[i]);
    if (same === -1) return part.length;
    throw new ConfigError(
      `renderChat: the first ${count} of ${messages.length} messages${addGenerationPrompt ? " with a generation prompt" : ""} ` +
        `render to other tokens than the whole conversation begins with, from token ${same} on ` +
        `(${quote(tokenizer, part, same)}, not ${quote(tokenizer, ids, same)}). ` +
        "The assistant's tokens can't be told apart with this chat template; give it one that keeps earlier turns as they were.",
      "chat_template",
    );
  };
  for (const [i, message] of messages.entries()) {
    if (message.role !== "assistant") continue;
    const begin = lengthOf(i, true);
    const end = lengthOf(i + 1, false);
    const lastSpecial = ids.slice(0, end).findLastIndex((id) => tokenizer.isSpecial(id));
    assistant.fill(true, begin, lastSpecial >= begin ? lastSpecial + 1 : end);
  }
  return { ids, assistant };
}

function quote(tokenizer: Tokenizer, ids: readonly number[], from: number): string {
  return JSON.stringify(tokenizer.decode(ids.slice(from, from + 8), { skipSpecialTokens: false }));
}
