import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

const words = "the quick brown fox jumps over a lazy dog while seven bright zebras watch and hum".split(" ");

/** Some documents of words, always the same. */
export function someTexts(count: number): string[] {
  return Array.from({ length: count }, (_, d) =>
    Array.from({ length: 20 + (d % 7) * 5 }, (_, i) => words[(d * 5 + i * i + (i >> 2)) % words.length]).join(
      " ",
    ),
  );
}

export function writeJsonl(file: string, rows: readonly unknown[]): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return file;
}

/** A .jsonl file of such documents. */
export const writeTexts = (file: string, count = 40): string =>
  writeJsonl(
    file,
    someTexts(count).map((text) => ({ text })),
  );
