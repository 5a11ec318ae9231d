import path from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { refuseUnknown } from "../../core/options.ts";
import { chunked } from "../../text/chunked.ts";
import { withEos } from "../../text/encode_pair.ts";
import { loadTokenizer, type Tokenizer } from "../../text/tokenizer.ts";
import { type Output, type Step, type TaskContext, taskName } from "../step.ts";
import type { TokenFileInfo } from "../token_file.ts";
import { bytesOfEnd, bytesOfIds, textsBeside, tokenBytesOf, tokenizerIdentity } from "../write_token_file.ts";
import { targetOf } from "./folder.ts";

const kStep = "write.tokens";

/** Texts that are encoded at once. */
const kBatch = 256;

export interface TokensOptions {
  /** A folder with a tokenizer.json, or a tokenizer loaded from one. */
  readonly tokenizer: string | Tokenizer;
  /** A word of the metadata by which documents go into folders: "language". */
  readonly splitBy?: string | undefined;
}

/**
 * Writes the tokens of each document, as encodeDocuments makes them (with eos at the end, where the tokenizer has one), into
 * a token file of each task in datatrove's layout (see writeTokenFile): `<dir>/00000.ds`. Hands documents on in their order,
 * a few hundred at a time. Counts the tokens.
 */
export function tokens(dir: string, options: TokensOptions): Step {
  refuseUnknown(kStep, options, ["tokenizer", "splitBy"]);
  const { tokenizer: given, splitBy } = options;
  if (given === undefined)
    throw new ConfigError(`${kStep}: no tokenizer, a folder with a tokenizer.json was needed`, "tokenizer");
  const from = typeof given === "string" ? given : given.dir;
  let loaded: Promise<Tokenizer> | undefined;
  return {
    description: {
      step: kStep,
      options: { dir, tokenizer: from, ...(splitBy !== undefined && { splitBy }) },
    },
    async *run(documents, context) {
      loaded ??= typeof given === "string" ? loadTokenizer(given) : Promise.resolve(given);
      const tokenizer = await loaded;
      const shards = new Map<string, Shard>();
      const shardOf = async (file: string): Promise<Shard> => {
        const shard = shards.get(file) ?? (await Shard.open(file, context, tokenizer.vocabSize));
        shards.set(file, shard);
        return shard;
      };
      for await (const batch of chunked(documents, kBatch)) {
        const encoded = await tokenizer.encodeBatch(batch.map(({ text }) => text));
        for (const [k, document] of batch.entries()) {
          const ids = withEos(tokenizer, encoded[k]!);
          context.count(`${kStep}/tokens`, ids.length);
          await (await shardOf(targetOf(kStep, document, { dir, splitBy, suffix: ".ds" }, context))).add(ids);
          yield document;
        }
      }
      if (shards.size === 0 && splitBy === undefined)
        await shardOf(path.join(dir, `${taskName(context)}.ds`));
      const identity = await tokenizerIdentity(tokenizer);
      for (const shard of shards.values()) await shard.finish(identity);
    },
  };
}

/** A token file that grows. */
class Shard {
  private documents = 0;
  private tokens = 0;

  private constructor(
    private readonly file: string,
    private readonly context: TaskContext,
    private readonly vocabSize: number,
    private readonly data: Output,
    private readonly index: Output,
  ) {}

  static async open(file: string, context: TaskContext, vocabSize: number): Promise<Shard> {
    return new Shard(
      file,
      context,
      vocabSize,
      await context.create(file),
      await context.create(`${file}.index`),
    );
  }

  async add(ids: readonly number[]): Promise<void> {
    this.documents++;
    this.tokens += ids.length;
    await this.data.write(bytesOfIds(ids, tokenBytesOf(this.vocabSize)));
    await this.index.write(bytesOfEnd(this.tokens));
  }

  async finish(tokenizer: NonNullable<TokenFileInfo["tokenizer"]>): Promise<void> {
    const { documents, tokens, vocabSize } = this;
    const info = { documents, tokens, tokenBytes: tokenBytesOf(vocabSize), vocabSize, tokenizer };
    for (const [suffix, text] of Object.entries(textsBeside(info)))
      await (await this.context.create(`${this.file}${suffix}`)).write(text);
  }
}
