import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ConfigError, MixwrightError } from "../core/errors.ts";
import { writeFolderAtomically } from "../io/atomic.ts";

export interface TrainTokenizerOptions {
  /** Ids in all: special tokens, the 256 bytes, then merges. From 256 + special tokens up to 30,000. */
  vocabSize: number;
  /** Take the first ids, in this order. The first one ends a text. Default `<|endoftext|>`. */
  specialTokens?: readonly string[];
  /** Jinja chat template, for tokenizer_config.json. */
  chatTemplate?: string;
}

// The package trains without a promise, and prints empty lines to stdout: in a process of its own.
const kSource = `
  const [tokenizers, file, out] = process.argv.slice(1);
  const { BPE, byteLevelPreTokenizer, Tokenizer } = require(tokenizers);
  const tokenizer = new Tokenizer(BPE.empty());
  tokenizer.setPreTokenizer(byteLevelPreTokenizer(false));
  tokenizer.train([file]);
  tokenizer.save(out);
`;

/** What the package's trainer always makes. */
const kTrained = 30_000;

/**
 * Learns a byte-level BPE tokenizer (Sennrich et al. 2016; GPT-2's splitting) and writes it to `dir` as tokenizer.json and
 * tokenizer_config.json, by the package `tokenizers`, which reads the texts from a temporary file. Merges are learned in
 * order, so a smaller vocabulary is the beginning of a larger one. Throws ConfigError for a size out of range, and for texts
 * that don't have as many merges.
 */
export async function trainTokenizer(
  texts: Iterable<string> | AsyncIterable<string>,
  dir: string,
  options: TrainTokenizerOptions,
): Promise<void> {
  const { vocabSize, specialTokens = ["<|endoftext|>"], chatTemplate } = options;
  const fewest = 256 + specialTokens.length;
  if (!Number.isInteger(vocabSize) || vocabSize < fewest || vocabSize > kTrained) {
    throw new ConfigError(
      `trainTokenizer: vocabSize is ${vocabSize}, from ${fewest} to ${kTrained} was needed`,
      "vocabSize",
    );
  }
  const learned = await learnMerges(texts);
  if (learned.length < vocabSize - fewest) {
    throw new ConfigError(
      `trainTokenizer: the texts have ${learned.length} merges, ${vocabSize - fewest} were needed for a vocabulary of ${vocabSize}. ` +
        "Give more text, or a smaller vocabSize",
      "vocabSize",
    );
  }
  const merges = learned.slice(0, vocabSize - fewest);
  const alphabet = byteAlphabet();
  const tokens = [...specialTokens, ...alphabet, ...merges.map(([a, b]) => a + b)];
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    eos_token: specialTokens[0],
    clean_up_tokenization_spaces: false,
    ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
  };
  await writeFolderAtomically(dir, async (temporary) => {
    await writeFile(path.join(temporary, "tokenizer.json"), JSON.stringify(json));
    await writeFile(path.join(temporary, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
  });
}

async function learnMerges(texts: Iterable<string> | AsyncIterable<string>): Promise<[string, string][]> {
  const scratch = await mkdtemp(path.join(tmpdir(), "mixwright-bpe-"));
  try {
    const file = path.join(scratch, "texts.txt");
    const out = path.join(scratch, "tokenizer.json");
    await pipeline(Readable.from(lines(texts)), createWriteStream(file));
    const tokenizers = createRequire(import.meta.url).resolve("tokenizers");
    await inProcess(["--eval", kSource, tokenizers, file, out]);
    const trained = JSON.parse(await readFile(out, "utf8")) as {
      model: { merges: ([string, string] | string)[] };
    };
    return trained.model.merges.map((merge) =>
      typeof merge === "string" ? (merge.split(" ") as [string, string]) : merge,
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function* lines(texts: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  for await (const text of texts) yield `${text}\n`;
}

/** Runs Node with these arguments, its stdout left aside. */
const inProcess = (args: readonly string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    let told = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      told = (told + text).slice(-1000);
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new MixwrightError(`trainTokenizer: the trainer ended with ${code ?? signal}: ${told.trim()}`),
        );
    });
  });

/** GPT-2's printable stand-ins for the 256 bytes, in byte order. */
function byteAlphabet(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}
