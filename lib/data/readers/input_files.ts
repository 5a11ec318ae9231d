import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { baseOfGlob, filesOfGlob } from "../../io/glob.ts";

/** Files, folders or patterns (see filesOfGlob) of a reader. */
export type Input = string | readonly string[];

/** The input files of a reader, each once, in order of their names. Throws ConfigError where there are none. */
export async function inputFiles(where: string, input: Input): Promise<string[]> {
  const found = await Promise.all([input].flat().map(filesOfGlob));
  const files = [...new Set(found.flat())].sort((a, b) => (a < b ? -1 : 1));
  if (files.length > 0) return files;
  throw new ConfigError(
    `${where}: ${[input].flat().join(", ")} names no file, at least one was needed`,
    "files",
  );
}

const kJsonl = /\.jsonl(\.gz|\.zst)?$/;

const jsonlFilesIn = async (dir: string): Promise<string[]> =>
  (await readdir(dir))
    .filter((name) => kJsonl.test(name))
    .sort()
    .map((name) => path.posix.join(dir, name));

/**
 * The .jsonl, .jsonl.gz and .jsonl.zst files that are meant, in the order in which they are named: files, patterns, and folders,
 * of which those right inside are taken. Throws ConfigError where one names none, and for a file of another ending.
 */
export async function jsonlFiles(where: string, input: Input): Promise<string[]> {
  const files: string[] = [];
  for (const name of [input].flat()) {
    const isFolder = (await stat(name).catch(() => undefined))?.isDirectory();
    const found = isFolder ? await jsonlFilesIn(name) : await filesOfGlob(name);
    const other = found.find((file) => !kJsonl.test(file));
    if (other !== undefined || found.length === 0) {
      const what = other ? `${other} is read as no .jsonl file` : `${name} names no .jsonl file`;
      throw new ConfigError(
        `${where}: ${what}, names that end in .jsonl, .jsonl.gz or .jsonl.zst were needed`,
        "input",
      );
    }
    files.push(...found);
  }
  return [...new Set(files)];
}

/** A file's name below the folder that its pattern begins with: the same wherever that folder lies. */
export function shortName(input: Input, file: string): string {
  const under = [input]
    .flat()
    .map((pattern) =>
      path.posix.relative(pattern === file ? path.posix.dirname(file) : folderOf(pattern, file), file),
    )
    .filter((name) => !name.startsWith(".."));
  return under.sort((a, b) => a.length - b.length)[0] ?? file;
}

const folderOf = (pattern: string, file: string): string =>
  file.startsWith(`${pattern.replace(/\/$/, "")}/`) ? pattern : baseOfGlob(pattern);
