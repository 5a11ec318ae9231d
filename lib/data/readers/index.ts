export type { Input } from "./input_files.ts";
export { jsonl } from "./jsonl.ts";
export { parquet } from "./parquet.ts";
export type { RowKeys } from "./rows.ts";
export { text } from "./text.ts";
export { type WarcReaderOptions, warc } from "./warc.ts";
