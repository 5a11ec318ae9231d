import path from "node:path";
import { Tokenizer as NativeTokenizer } from "tokenizers";
import { FormatError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { type ChatMessage, type ChatTemplateOptions, ChatTemplates } from "./chat_template.ts";
import { Encoder } from "./encoder_thread.ts";
import { streamTokens, type TokenStream } from "./token_stream.ts";
import { readTokenizerFiles, type TokenizerFiles } from "./tokenizer_files.ts";

export interface EncodeOptions {
  /** Adds what the tokenizer puts around a text, as a rule the bos token. Default true. */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leaves special tokens (bos, eos, turn marks) out of the text. Default true. */
  readonly skipSpecialTokens?: boolean;
}

/** A Hugging Face tokenizer with its special tokens and chat template; made by loadTokenizer. */
export class Tokenizer {
  /** Number of ids the tokenizer knows, added tokens included; a model's embedding may have more rows. */
  readonly vocabSize: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly padToken: string | undefined;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly padTokenId: number | undefined;
  /** All ids that end a generation: the eos token, and those that generation_config.json lists. */
  readonly eosTokenIds: readonly number[];
  /** The folder it came from. */
  readonly dir: string;
  readonly chatTemplates: ChatTemplates;
  private readonly native: NativeTokenizer;
  private readonly encoder: Encoder;
  private readonly special: ReadonlySet<number>;

  constructor({ dir, tokenizer, namedTokens, namedIds, chatTemplates }: TokenizerFiles) {
    this.dir = dir;
    const file = path.join(dir, "tokenizer.json");
    try {
      this.native = NativeTokenizer.fromString(tokenizer);
    } catch (error) {
      throw new FormatError(`loadTokenizer: ${file}: ${(error as Error).message}.`, file);
    }
    this.native.disableTruncation();
    this.native.disablePadding();
    this.encoder = new Encoder(tokenizer);
    this.vocabSize = this.native.getVocabSize(true);

    const token = (key: string) => namedTokens[key] ?? this.idToToken(namedIds[key]?.[0] ?? -1);
    this.bosToken = token("bos_token");
    this.eosToken = token("eos_token");
    this.padToken = token("pad_token");
    this.bosTokenId = this.namedId("bos_token", this.bosToken);
    this.eosTokenId = this.namedId("eos_token", this.eosToken);
    this.padTokenId = this.namedId("pad_token", this.padToken);
    const named = (ids: (number | undefined)[]) => [...new Set(ids.filter((id) => id !== undefined))];
    this.eosTokenIds = named([this.eosTokenId, ...(namedIds.eos_token ?? [])]);
    const { added_tokens: added = [] } = JSON.parse(tokenizer) as {
      added_tokens?: { id: number; special: boolean }[];
    };
    const special = added.filter((token) => token.special).map((token) => token.id);
    this.special = new Set([...special, ...named([this.bosTokenId, this.eosTokenId, this.padTokenId])]);

    const variables = { ...namedTokens };
    if (this.bosToken !== undefined) variables.bos_token = this.bosToken;
    if (this.eosToken !== undefined) variables.eos_token = this.eosToken;
    this.chatTemplates = new ChatTemplates(dir, chatTemplates, variables);
  }

  /** Token ids of a text. Special tokens that stand in the text become their single ids. */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    return this.encoder.encode(text, addSpecialTokens);
  }

  /** Token ids of many texts, off the main thread: for files of documents, several times faster than `encode`. */
  async encodeBatch(
    texts: readonly string[],
    { addSpecialTokens = true }: EncodeOptions = {},
  ): Promise<number[][]> {
    const encodings = await this.native.encodeBatch([...texts], { addSpecialTokens });
    return encodings.map((encoding) => encoding.getIds());
  }

  /** Text of token ids, exactly as the tokens spell it (no clean-up of spaces). Ids without a token are passed over. */
  decode(ids: Iterable<number>, { skipSpecialTokens = true }: DecodeOptions = {}): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = skipSpecialTokens && this.special.has(id) ? undefined : this.idToToken(id);
      if (token !== undefined) tokens.push(token);
    }
    const decoder = this.native.getDecoder();
    return decoder ? decoder.decode(tokens) : tokens.join(" ");
  }

  /** A decoder for ids that come one by one, which gives out whole characters only. */
  stream(options: DecodeOptions = {}): TokenStream {
    return streamTokens((ids) => this.decode(ids, options));
  }

  /**
   * A conversation as the model saw it in training: token ids, or with `tokenize: false` the text. The template
   * writes bos itself, so none is added.
   * @throws ConfigError if the tokenizer has no chat template or the template refuses the messages.
   */
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions & { tokenize: false },
  ): string;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatTemplateOptions & { tokenize?: true },
  ): number[];
  applyChatTemplate(
    messages: readonly ChatMessage[],
    { tokenize = true, ...options }: ChatTemplateOptions & { tokenize?: boolean } = {},
  ): string | number[] {
    refuseUnknown("applyChatTemplate", options, ["addGenerationPrompt", "tools", "documents", "tokenize"]);
    const text = this.chatTemplates.render(messages, options);
    return tokenize ? this.encode(text, { addSpecialTokens: false }) : text;
  }

  idToToken(id: number): string | undefined {
    return id < 0 ? undefined : (this.native.idToToken(id) ?? undefined);
  }

  tokenToId(token: string): number | undefined {
    return this.native.tokenToId(token) ?? undefined;
  }

  /** True for tokens that mark structure rather than text: bos, eos, pad, turn marks. */
  isSpecial(id: number): boolean {
    return this.special.has(id);
  }

  private namedId(key: string, token: string | undefined): number | undefined {
    const id = token === undefined ? undefined : this.tokenToId(token);
    if (token !== undefined && id === undefined) {
      const file = path.join(this.dir, "tokenizer.json");
      throw new FormatError(
        `loadTokenizer: ${file} has no token "${token}", which the folder names as ${key}.`,
        file,
      );
    }
    return id;
  }
}

/**
 * Loads the tokenizer of a Hugging Face model folder: tokenizer.json, and where present tokenizer_config.json,
 * special_tokens_map.json, chat_template.jinja, generation_config.json and config.json.
 * @throws FormatError if tokenizer.json is missing or not one, or a file beside it is broken.
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  return new Tokenizer(await readTokenizerFiles(dir));
}
