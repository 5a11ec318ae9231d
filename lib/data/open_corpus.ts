import { stat } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../core/errors.ts";
import { filesOfGlob } from "../io/glob.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type Corpus, joinCorpora, tokenizeDocuments } from "./corpus.ts";
import { readTexts } from "./text_files.ts";
import { openTokenFile } from "./token_file.ts";
import { tokenizerIdentity } from "./write_token_file.ts";

/**
 * A token file (`.ds`), all token files below a folder in the order of their names, or a text file (see readTexts) tokenized
 * into memory. Throws ConfigError for a folder without token files, and for a token file that remembers another tokenizer.
 */
export async function openCorpus(file: string, tokenizer: Tokenizer): Promise<Corpus> {
  const folder = await tokenFilesOf(file);
  if (folder) return openTokenFiles(folder, tokenizer);
  return file.endsWith(".ds") ? openOwn(file, tokenizer) : tokenizeDocuments(tokenizer, readTexts(file));
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

/** A token file, whose ids must be this tokenizer's: with another one's they would be other text. */
async function openOwn(file: string, tokenizer: Tokenizer): Promise<Corpus> {
  const opened = await openTokenFile(file);
  const { tokenizer: made } = opened.info;
  if (made === undefined || made.sha256 === (await tokenizerIdentity(tokenizer)).sha256) return opened;
  await opened.close();
  throw new ConfigError(
    `openCorpus: ${file} was made with the tokenizer ${made.name}, whose tokenizer.json is not that of ${tokenizer.dir}. Tokenize the text again, or take the model of that tokenizer`,
    "data",
  );
}

async function openTokenFiles(files: readonly string[], tokenizer: Tokenizer): Promise<Corpus> {
  const corpora: Corpus[] = [];
  try {
    for (const file of files) corpora.push(await openOwn(file, tokenizer));
  } catch (error) {
    for (const corpus of corpora) await corpus.close?.();
    throw error;
  }
  return joinCorpora(corpora);
}
