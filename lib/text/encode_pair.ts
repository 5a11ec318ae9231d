import type { ChatMessage } from "./chat_template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A prompt and its completion as ids; the model sees them end to end. */
export interface EncodedPair {
  readonly prompt: number[];
  readonly completion: number[];
}

/**
 * Ids of texts, each with the bos token the tokenizer puts before it, once even where the text itself begins with bos, and
 * without an eos token that the tokenizer puts behind.
 */
export async function encodeTexts(tokenizer: Tokenizer, texts: readonly string[]): Promise<number[][]> {
  const { bosTokenId: bos, eosTokenId: eos, eosToken } = tokenizer;
  const encoded = await tokenizer.encodeBatch(texts);
  encoded.forEach((ids, i) => {
    if (bos !== undefined && ids[0] === bos && ids[1] === bos) ids.shift();
    if (eos === undefined || ids.at(-1) !== eos) return;
    if (ids.at(-2) === eos || !texts[i]!.endsWith(eosToken!)) ids.pop();
  });
  return encoded;
}

/**
 * Ids of a prompt as it is encoded alone, which is what the model is given when it generates, and of the completion as it goes
 * on from there: never a bos token inside, eos once at the end where the tokenizer has one. Undefined if the two can't be told
 * apart: no token begins where the completion does.
 */
export async function encodePair(
  tokenizer: Tokenizer,
  prompt: string,
  completion: string,
): Promise<EncodedPair | undefined> {
  const [before, whole] = (await encodeTexts(tokenizer, [prompt, prompt + completion])) as [
    number[],
    number[],
  ];
  const after = await behind(tokenizer, before, whole, completion);
  return after && { prompt: before, completion: withEos(tokenizer, after) };
}

/**
 * The same of messages: the prompt with what opens the model's own turn, and what the chat template writes from there on,
 * which has its own end of a turn. Undefined also if the template writes the prompt otherwise before a completion.
 */
export async function encodeChatPair(
  tokenizer: Tokenizer,
  prompt: readonly ChatMessage[],
  completion: readonly ChatMessage[],
  options: { readonly tools?: readonly unknown[] } = {},
): Promise<EncodedPair | undefined> {
  const render = (messages: readonly ChatMessage[], addGenerationPrompt: boolean) =>
    tokenizer.applyChatTemplate(messages, { ...options, addGenerationPrompt, tokenize: false });
  const texts = [render(prompt, true), render([...prompt, ...completion], false)] as const;
  if (!texts[1].startsWith(texts[0])) return undefined;
  const [before, whole] = (await tokenizer.encodeBatch(texts, { addSpecialTokens: false })) as [
    number[],
    number[],
  ];
  const after = await behind(tokenizer, before, whole, texts[1].slice(texts[0].length));
  return after && { prompt: before, completion: after };
}

/** Ids of a prompt as both of these make them, text or messages. */
export async function encodePrompt(
  tokenizer: Tokenizer,
  prompt: string | readonly ChatMessage[],
  options: { readonly tools?: readonly unknown[] } = {},
): Promise<number[]> {
  if (typeof prompt === "string") return (await encodeTexts(tokenizer, [prompt]))[0]!;
  const text = tokenizer.applyChatTemplate(prompt, {
    ...options,
    addGenerationPrompt: true,
    tokenize: false,
  });
  return (await tokenizer.encodeBatch([text], { addSpecialTokens: false }))[0]!;
}

/** The same ids, with eos at the end where the tokenizer has one. */
export const withEos = ({ eosTokenId: eos }: Tokenizer, ids: number[]): number[] =>
  eos === undefined || ids.at(-1) === eos ? ids : [...ids, eos];

/** Characters that rarely join what follows: one of them will do, whatever the completion begins with. */
const kAnchors = ["\n", "a", "1"];

/** The completion's ids as they go on from the prompt's. */
const behind = async (tokenizer: Tokenizer, before: number[], whole: number[], completion: string) =>
  before.every((id, i) => whole[i] === id)
    ? whole.slice(before.length)
    : encodeBehind(tokenizer, before, whole, completion);

/** Where the prompt's last token would merge with the completion: the completion's ids as they are behind another character. */
async function encodeBehind(
  tokenizer: Tokenizer,
  before: readonly number[],
  whole: readonly number[],
  completion: string,
): Promise<number[] | undefined> {
  const encode = (texts: string[]) => tokenizer.encodeBatch(texts, { addSpecialTokens: false });
  const spelled = (ids: Iterable<number>) => tokenizer.decode(ids, { skipSpecialTokens: false });
  const alone = await encode(kAnchors);
  const joined = await encode(kAnchors.map((anchor) => anchor + completion));
  for (const [a, ids] of joined.entries()) {
    const after = ids.slice(alone[a]!.length);
    const splits = alone[a]!.every((id, i) => ids[i] === id);
    if (splits && spelled([...before, ...after]) === spelled(whole)) return after;
  }
  return undefined;
}
