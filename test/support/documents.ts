import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import type { Document } from "../../lib/data/document.ts";
import { writeJsonl } from "./texts.ts";

/** Documents of one file, with ids like 3-17, of different lengths and in two languages. */
export const someDocuments = (file: number, count: number): Document[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `${file}-${i}`,
    text: `Document ${i} of file ${file}: ${"päge ".repeat((i * 7 + file) % 23)}`,
    metadata: { language: i % 3 === 0 ? "fr" : "en", i },
  }));

/** Files 0.jsonl, 1.jsonl, … of such documents in a folder, and the pattern that names them. */
export function writeDocuments(dir: string, files: number, count: number): string {
  mkdirSync(dir, { recursive: true });
  for (let f = 0; f < files; f++) writeJsonl(path.join(dir, `${f}.jsonl`), someDocuments(f, count));
  return path.join(dir, "*.jsonl");
}

/** Bytes of every file below a folder in hex, by name; those of a state have times and are left out by giving another folder. */
export function folderBytes(dir: string): Record<string, string> {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const files = entries.map((entry) => path.join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(
    files.map((file) => [path.relative(dir, file), readFileSync(file).toString("hex")]),
  );
}

/** The rows of all .jsonl.gz files below a folder, by file. */
export function gzRows(dir: string): Record<string, Document[]> {
  return Object.fromEntries(
    Object.entries(folderBytes(dir))
      .filter(([name]) => name.endsWith(".jsonl.gz"))
      .map(([name, hex]) => {
        const lines = gunzipSync(Buffer.from(hex, "hex")).toString().split("\n").slice(0, -1);
        return [name, lines.map((line) => JSON.parse(line) as Document)];
      }),
  );
}
