import { chunked } from "../text/chunked.ts";
import { withEos } from "../text/encode_pair.ts";
import { tokenIds } from "../text/token_batch.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Tokenized documents by number. */
export interface Corpus {
  readonly documents: number;
  /** Tokens of document `i`. */
  length(i: number): number;
  /** Ids of document `i`, or of its part from token `from` up to `to`. */
  document(i: number, from?: number, to?: number): Int32Array | Promise<Int32Array>;
  /** Gives a file back, where there is one. */
  close?(): Promise<void>;
}

/** Texts that are encoded at once. */
const kBatch = 256;

/**
 * Token ids of each text, as its tokenizer encodes it (with bos, where it adds one) and with eos at the end, where it has
 * one. Encodes off the main thread and holds a few hundred texts at a time.
 */
export async function* encodeDocuments(
  tokenizer: Tokenizer,
  texts: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<Int32Array, void, undefined> {
  for await (const batch of chunked(texts, kBatch)) {
    for (const ids of await tokenizer.encodeBatch(batch)) yield Int32Array.from(withEos(tokenizer, ids));
  }
}

/** The same, as a corpus in memory. */
export async function tokenizeDocuments(
  tokenizer: Tokenizer,
  texts: AsyncIterable<string> | Iterable<string>,
): Promise<Corpus> {
  const documents: Int32Array[] = [];
  for await (const ids of encodeDocuments(tokenizer, texts)) documents.push(ids);
  return corpusOf(documents);
}

/** Documents of token ids as a corpus. Throws ConfigError for what is no token id. */
export function corpusOf(documents: readonly ArrayLike<number>[]): Corpus {
  const ids = documents.map((document, d) => tokenIds("corpusOf", document, d));
  return {
    documents: ids.length,
    length: (i) => ids[i]!.length,
    document: (i, from, to) => ids[i]!.subarray(from, to),
  };
}

/** Bytes of the texts that a corpus spells out, special tokens left out. */
export async function textBytes(corpus: Corpus, tokenizer: Tokenizer): Promise<number> {
  let bytes = 0;
  for (let i = 0; i < corpus.documents; i++) {
    bytes += Buffer.byteLength(tokenizer.decode(await corpus.document(i)));
  }
  return bytes;
}

/** Several corpora as one, their documents in order. Closing it closes them. */
export function joinCorpora(corpora: readonly Corpus[]): Corpus {
  const starts = [0];
  for (const corpus of corpora) starts.push(starts.at(-1)! + corpus.documents);
  const place = (i: number): [Corpus, number] => {
    const k = starts.findLastIndex((start) => start <= i);
    return [corpora[k]!, i - starts[k]!];
  };
  return {
    documents: starts.at(-1)!,
    length: (i) => {
      const [corpus, at] = place(i);
      return corpus.length(at);
    },
    document: (i, from, to) => {
      const [corpus, at] = place(i);
      return corpus.document(at, from, to);
    },
    close: async () => {
      for (const corpus of corpora) await corpus.close?.();
    },
  };
}
