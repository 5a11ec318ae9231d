import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { Random } from "../../lib/core/random.ts";

export interface DedupRow {
  readonly id: string;
  readonly text: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

const wordOf = (n: number): string =>
  Array.from(
    { length: 4 },
    (_, i) => "bdfgklmnprstvz"[Math.floor(n / 14 ** i) % 14]! + "aeiou"[(n >> i) % 5]!,
  ).join("");

/**
 * Documents of random words, every third of them a near copy of an earlier one (one word in `every` changed). Rows carry a
 * score.
 */
export function nearCopies(count: number, { seed = 1, words = 120, every = 60 } = {}): DedupRow[] {
  const random = new Random(seed);
  const texts: string[][] = [];
  for (let d = 0; d < count; d++) {
    const word = () => wordOf(random.below(30_000));
    if (d % 3 === 2) {
      const copied = texts[random.below(d)]!;
      texts.push(copied.map((old) => (random.below(every) === 0 ? word() : old)));
    } else texts.push(Array.from({ length: words }, word));
  }
  return texts.map((text, d) => ({
    id: `doc-${d}`,
    text: text.join(" "),
    metadata: { score: random.below(1000) / 10 },
  }));
}

/** Writes rows to `files` files in turn, every second one gzipped. */
export function writeRows(dir: string, rows: readonly unknown[], files: number): string[] {
  mkdirSync(dir, { recursive: true });
  return Array.from({ length: files }, (_, f) => {
    const text = rows
      .filter((_, i) => i % files === f)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join("");
    const file = path.join(dir, `${f}.jsonl${f % 2 ? ".gz" : ""}`);
    writeFileSync(file, f % 2 ? gzipSync(text) : text);
    return file;
  });
}

export const readGzipRows = <T = DedupRow>(file: string): T[] =>
  gunzipSync(readFileSync(file))
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);

/** Every file below a folder, by path, as text of its bytes. */
export function contentOf(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true, withFileTypes: true });
  const files = names
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  return Object.fromEntries(
    files.sort().map((file) => [path.relative(dir, file), readFileSync(file).toString("latin1")]),
  );
}

/** The kept rows of an output folder, of all files. */
export const keptRows = (output: string): DedupRow[] =>
  readdirSync(output)
    .filter((name) => name.endsWith(".jsonl.gz"))
    .sort()
    .flatMap((name) => (existsSync(path.join(output, name)) ? readGzipRows(path.join(output, name)) : []));
