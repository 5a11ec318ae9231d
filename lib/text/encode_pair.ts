import type { Tokenizer } from "./tokenizer.ts";

/** A prompt and its completion as ids; the model sees them end to end. */
export interface EncodedPair {
  readonly prompt: number[];
  readonly completion: number[];
}

/**
 * Ids of a text, with the bos token the tokenizer puts before it, once even where the text itself begins with bos, and
 * without an eos token behind.
 */
export function encodeText(tokenizer: Tokenizer, text: string): number[] {
  const { bosTokenId: bos, eosTokenId: eos, eosToken } = tokenizer;
  const ids = tokenizer.encode(text);
  if (bos !== undefined && ids[0] === bos && ids[1] === bos) ids.shift();
  if (eos !== undefined && ids.at(-1) === eos && !text.endsWith(eosToken!)) ids.pop();
  return ids;
}

/**
 * Ids of a prompt as `encodeText` alone gives them, which is what the model is given when it generates, and of the completion
 * as it goes on from there: never a bos token inside, eos once at the end where the tokenizer has one. Undefined if the two
 * can't be told apart: no token begins where the completion does.
 */
export function encodePair(
  tokenizer: Tokenizer,
  prompt: string,
  completion: string,
): EncodedPair | undefined {
  const { eosTokenId: eos } = tokenizer;
  const before = encodeText(tokenizer, prompt);
  const whole = encodeText(tokenizer, prompt + completion);
  const after = before.every((id, i) => whole[i] === id)
    ? whole.slice(before.length)
    : encodeBehind(tokenizer, before, whole, completion);
  if (after && eos !== undefined && after.at(-1) !== eos) after.push(eos);
  return after && { prompt: before, completion: after };
}

/** Where the prompt's last token would merge with the completion: the completion's ids as they are behind a line break. */
function encodeBehind(
  tokenizer: Tokenizer,
  before: readonly number[],
  whole: readonly number[],
  completion: string,
): number[] | undefined {
  const options = { addSpecialTokens: false };
  const lineBreak = tokenizer.encode("\n", options);
  const ids = tokenizer.encode(`\n${completion}`, options);
  if (!lineBreak.every((id, i) => ids[i] === id)) return undefined;
  const after = ids.slice(lineBreak.length);
  const spelled = (tokens: Iterable<number>) => tokenizer.decode(tokens, { skipSpecialTokens: false });
  return spelled([...before, ...after]) === spelled(whole) ? after : undefined;
}
