import type { Tokenizer } from "../text/tokenizer.ts";
import { type Corpus, tokenizeDocuments } from "./corpus.ts";
import { readTexts } from "./text_files.ts";
import { openTokenFile } from "./token_file.ts";

/** A token file (`.ds`), or a text file (see readTexts) tokenized into memory. */
export function openCorpus(file: string, tokenizer: Tokenizer): Promise<Corpus> {
  return file.endsWith(".ds") ? openTokenFile(file) : tokenizeDocuments(tokenizer, readTexts(file));
}
