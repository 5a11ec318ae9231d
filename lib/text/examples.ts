import { type Dropped, type Encoded, encodeRows } from "./encode_rows.ts";
import { type Example, type ExampleOptions, encodeRow, type SftRow } from "./sft_row.ts";

/** Examples, and what became of the other rows. */
export interface Examples {
  readonly examples: readonly Example[];
  /** Lines of the examples that were cut at maxLength, from 1. */
  readonly truncated: readonly number[];
  readonly dropped: readonly Dropped[];
}

/**
 * Fine-tuning rows, of a list or a file (see readRows), as token ids. Text begins with bos as its tokenizer does it and
 * ends with eos; conversations are what the chat template makes of them. Rows of which nothing would be learned are dropped.
 * @throws FormatError, with the line, for a row that is none of SftRow, or messages that the chat template refuses.
 */
export async function readExamples(
  data: string | readonly SftRow[],
  options: ExampleOptions,
): Promise<Examples> {
  const { kept, ...rest } = await encodeRows(data, async (row, refuse) => [
    fitted(await encodeRow(row, options, refuse), options.maxLength),
  ]);
  return { examples: kept, ...rest };
}

/** The example as it is learned from, without what is beyond maxLength. */
function fitted(example: Example | undefined, maxLength: number): Encoded<Example> {
  if (!example) return { reason: "the completion's tokens can't be told from the prompt's" };
  if (!example.learn.includes(true, 1)) return { reason: "nothing to learn" };
  const ids = example.ids.slice(0, maxLength);
  const learn = example.learn.slice(0, maxLength);
  if (!learn.includes(true, 1)) return { reason: `nothing to learn in the first ${maxLength} tokens` };
  return { kept: { ids, learn }, truncated: example.ids.length > maxLength };
}
