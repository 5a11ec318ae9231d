export { type JsonlOptions, jsonl } from "./jsonl.ts";
export { type ParquetOptions, parquet } from "./parquet.ts";
export { type TokensOptions, tokens } from "./tokens.ts";
