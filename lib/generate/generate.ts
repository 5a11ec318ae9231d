import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import type { Model } from "../models/model.ts";
import type { ChatMessage } from "../text/chat_template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { Decoding, type Draw } from "./decoding.ts";
import { growthOf, readSampling, type SamplingOptions, samplingKeys } from "./options.ts";
import { StopText } from "./stop_text.ts";

/** Exactly one of prompt, messages and tokens. */
export interface GenerateOptions extends SamplingOptions {
  /** Text; it gets what the tokenizer puts around a text, as a rule bos in front. */
  prompt?: string;
  /** A conversation, which the tokenizer's chat template renders, ready for the model's turn. */
  messages?: readonly ChatMessage[];
  /** Token ids, as they are. */
  tokens?: readonly number[];
  /** Strings and token ids that end the text and are no part of it, besides the tokenizer's eosTokenIds. */
  stop?: string | number | readonly (string | number)[];
}

/** One token, and the text it completes. */
export interface Generated extends Draw {
  /**
   * All pieces joined are the text after the prompt. Empty while a character's bytes are still coming, while it may be
   * part of a stop string, and for the end-of-text token.
   */
  text: string;
  /** With the last token only: why it is the last. */
  finished?: FinishReason;
}

/** "stop": an end-of-text token or a stop string came; "length": maxNewTokens or the model's context is used up. */
export type FinishReason = "stop" | "length";

const kInputs = ["prompt", "messages", "tokens"] as const;

/**
 * Streams what the model writes after a prompt: a token at a time, the one that ends it included. Leaving the loop, by
 * `break` or an exception, frees the cache. Throws ConfigError for options that are unknown or out of range.
 */
export function generate(
  model: Model,
  tok: Tokenizer,
  options: GenerateOptions,
): AsyncGenerator<Generated, void, undefined> {
  refuseUnknown("generate", options, [...kInputs, ...samplingKeys]);
  const { maxNewTokens, sampling } = readSampling("generate", options);
  const prompt = readPrompt(tok, options);
  const stops = [options.stop ?? []].flat();
  if (stops.includes(""))
    throw new ConfigError("generate: a stop string is empty, at least one character was needed", "stop");
  const [limit = 0] = growthOf("generate", model, [prompt], maxNewTokens);
  const text = new TextOfTokens(tok, prompt, stops);
  return stream(
    () => new Decoding(model, [prompt.length + limit], sampling),
    prompt,
    limit,
    text,
    options.signal,
  );
}

async function* stream(
  open: () => Decoding,
  prompt: readonly number[],
  limit: number,
  text: TextOfTokens,
  signal: AbortSignal | undefined,
): AsyncGenerator<Generated, void, undefined> {
  signal?.throwIfAborted();
  const decoding = open();
  try {
    let feed = prompt;
    for (let left = limit; left > 0; left--) {
      const [draw] = await decoding.extend([{ sequence: 0, tokens: feed }]);
      signal?.throwIfAborted();
      const generated = text.push(draw!, left === 1);
      yield generated;
      signal?.throwIfAborted();
      if (generated.finished) return;
      feed = [draw!.token];
    }
  } finally {
    decoding.dispose();
  }
}

function readPrompt(tok: Tokenizer, options: GenerateOptions): readonly number[] {
  const { prompt, messages, tokens } = options;
  const given = kInputs.filter((key) => options[key] !== undefined);
  if (given.length !== 1) {
    throw new ConfigError(
      `generate: ${given.join(" and ") || "nothing"} given, exactly one of prompt, messages and tokens was needed`,
      "prompt",
    );
  }
  if (tokens !== undefined) return tokens;
  if (prompt !== undefined) return tok.encode(prompt);
  return tok.applyChatTemplate(messages!, { addGenerationPrompt: true });
}

/** Turns tokens into text, and knows where the text ends. */
class TextOfTokens {
  private readonly pieces;
  private readonly stopText: StopText;
  private readonly ends: ReadonlySet<number | string>;

  constructor(tok: Tokenizer, prompt: readonly number[], stops: readonly (string | number)[]) {
    this.pieces = tok.stream();
    // What stands left of the first piece decides whether it begins with a space. Half a character there is not continued.
    if (!tok.decode(prompt).endsWith("\ufffd")) for (const id of prompt) this.pieces.push(id);
    this.stopText = new StopText(stops.filter((stop) => typeof stop === "string"));
    this.ends = new Set([...tok.eosTokenIds, ...stops]);
  }

  push(draw: Draw, last: boolean): Generated {
    const { pieces, stopText } = this;
    const ended = this.ends.has(draw.token);
    let text = ended ? "" : stopText.push(pieces.push(draw.token));
    if (ended || last) text += stopText.push(pieces.end()) + stopText.end();
    if (ended || stopText.found) return { ...draw, text, finished: "stop" };
    return last ? { ...draw, text, finished: "length" } : { ...draw, text };
  }
}
