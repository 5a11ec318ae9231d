import { stat } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../core/errors.ts";
import { filesOfGlob } from "../io/glob.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type Corpus, joinCorpora, tokenizeDocuments } from "./corpus.ts";
import { readTexts } from "./text_files.ts";
import { openTokenFile } from "./token_file.ts";

/**
 * A token file (`.ds`), all token files below a folder in the order of their names, or a text file (see readTexts) tokenized
 * into memory. Throws ConfigError for a folder without token files.
 */
export async function openCorpus(file: string, tokenizer: Tokenizer): Promise<Corpus> {
  const folder = await tokenFilesOf(file);
  if (folder) return openTokenFiles(folder);
  return file.endsWith(".ds") ? openTokenFile(file) : tokenizeDocuments(tokenizer, readTexts(file));
}

/** The token files below a folder; undefined for what is no folder. Throws ConfigError if there are none. */
export async function tokenFilesOf(dir: string): Promise<string[] | undefined> {
  const isFolder = await stat(dir).then(
    (found) => found.isDirectory(),
    () => false, // whoever opens it says what is wrong
  );
  if (!isFolder) return undefined;
  const files = await filesOfGlob(path.posix.join(dir, "**/*.ds"));
  if (files.length > 0) return files;
  throw new ConfigError(
    `openCorpus: ${dir} holds no token file (.ds), one at least was needed. write.tokens makes them`,
    "data",
  );
}

async function openTokenFiles(files: readonly string[]): Promise<Corpus> {
  const corpora: Corpus[] = [];
  try {
    for (const file of files) corpora.push(await openTokenFile(file));
  } catch (error) {
    for (const corpus of corpora) await corpus.close?.();
    throw error;
  }
  return joinCorpora(corpora);
}
