import { ConfigError, FormatError } from "../core/errors.ts";
import { type JsonLine, readJsonl } from "../io/jsonl.ts";
import { chunked } from "./chunked.ts";
import { type Example, type ExampleOptions, encodeRow, type SftRow } from "./sft_row.ts";

/** Rows that are encoded at once, off the main thread. */
const kRows = 256;

/** Examples, and what became of the other rows; `line` counts from 1. */
export interface Examples {
  readonly examples: readonly Example[];
  /** Examples that were cut at maxLength. */
  readonly truncated: number;
  readonly dropped: readonly { readonly line: number; readonly reason: string }[];
}

/**
 * Fine-tuning rows, of a list or a `.jsonl` file (or `.jsonl.gz`), as token ids. Text begins with bos as its tokenizer does it and
 * ends with eos; conversations are what the chat template makes of them. Rows of which nothing would be learned are dropped.
 * @throws FormatError, with the line, for a row that is none of SftRow, or messages that the chat template refuses.
 */
export async function readExamples(
  data: string | readonly SftRow[],
  options: ExampleOptions,
): Promise<Examples> {
  const file = typeof data === "string" ? data : "";
  const examples: Example[] = [];
  const dropped: { line: number; reason: string }[] = [];
  let truncated = 0;
  const rows = typeof data === "string" ? readJsonl(data) : numbered(data);
  for await (const chunk of chunked(rows, kRows)) {
    const encoded = chunk.map(({ value, line }) => {
      const refuse = (what: string): never => {
        throw new FormatError(`${file === "" ? "row " : `${file}:`}${line}: ${what}`, file, line);
      };
      return encodeRow(value, options, refuse).catch((error: unknown) => {
        throw error instanceof ConfigError && error.key === "messages" ? refuse(error.message) : error;
      });
    });
    for (const [i, example] of (await Promise.all(encoded)).entries()) {
      const reason = whyDropped(example, options.maxLength);
      if (reason !== undefined) dropped.push({ line: chunk[i]!.line, reason });
      else {
        if (example!.ids.length > options.maxLength) truncated++;
        examples.push(cut(example!, options.maxLength));
      }
    }
  }
  return { examples, truncated, dropped };
}

function whyDropped(example: Example | undefined, maxLength: number): string | undefined {
  if (!example) return "the completion's tokens can't be told from the prompt's";
  if (!example.learn.includes(true, 1)) return "nothing to learn";
  if (example.learn.slice(0, maxLength).includes(true, 1)) return undefined;
  return `nothing to learn in the first ${maxLength} tokens`;
}

const cut = ({ ids, learn }: Example, maxLength: number): Example => ({
  ids: ids.slice(0, maxLength),
  learn: learn.slice(0, maxLength),
});

function* numbered(rows: readonly SftRow[]): Generator<JsonLine> {
  for (const [i, value] of rows.entries()) yield { value, line: i + 1 };
}
