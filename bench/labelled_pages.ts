import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { Deadline } from "../lib/data/extract/page_limit.ts";
import { readPage } from "../lib/data/extract/page_tree.ts";
import { writeText } from "../lib/data/extract/write_text.ts";
import { warc } from "../lib/data/readers/warc.ts";
import type { TaskContext } from "../lib/data/step.ts";
import { readJsonl } from "../lib/io/jsonl.ts";

/** A page of which somebody wrote down the main text. */
export interface LabelledPage {
  readonly set: "minicrawl" | "readability";
  readonly name: string;
  readonly html: string;
  readonly mainText: string;
}

/** All text of a page, or of a piece of one: nothing is chosen. */
export function wholeText(html: string): string {
  const deadline = new Deadline(60_000);
  return writeText(readPage(html, deadline).root, deadline);
}

/**
 * Pages below a folder that has `minicrawl/` (a crawl, and its pages' exact main text without headings) and `readability/`
 * (pages of Mozilla's tests; what that library made of them counts as their main text).
 */
export async function labelledPages(folder: string): Promise<LabelledPage[]> {
  const pages: LabelledPage[] = [];
  const mainTexts = new Map<unknown, string>();
  for await (const { value } of readJsonl(path.join(folder, "minicrawl/main_text.jsonl.gz"))) {
    const { url, text } = value as { url: string; text: string };
    mainTexts.set(url, text);
  }
  const crawl = warc(path.join(folder, "minicrawl/minicrawl.warc.gz"));
  const context: TaskContext = {
    task: 0,
    tasks: 1,
    signal: new AbortController().signal,
    drop: ignore,
    count: ignore,
    create: () => Promise.reject(new Error("a reader writes nothing")),
  };
  for (const file of await crawl.files())
    for await (const { text: html, metadata } of crawl.read(file, context)) {
      const mainText = mainTexts.get(metadata.url);
      if (mainText !== undefined)
        pages.push({ set: "minicrawl", name: String(metadata.url), html, mainText });
    }
  for (const name of readdirSync(path.join(folder, "readability")).sort()) {
    const read = (file: string) => readFileSync(path.join(folder, "readability", name, file), "utf8");
    const mainText = wholeText(read("expected.html"));
    pages.push({ set: "readability", name, html: read("source.html"), mainText });
  }
  return pages;
}

function ignore(): void {
  // What isn't a page isn't asked for.
}

/** Share of the found words that were wanted, of the wanted ones that were found, and the harmonic mean of both. */
export interface WordScore {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** Compares two texts as bags of words: each counts as often as it occurs. */
export function wordScore(found: string, wanted: string): WordScore {
  const wantedWords = wordsOf(wanted);
  const foundWords = wordsOf(found);
  const left = new Map<string, number>();
  for (const word of wantedWords) left.set(word, (left.get(word) ?? 0) + 1);
  let both = 0;
  for (const word of foundWords) {
    const count = left.get(word) ?? 0;
    if (count > 0) both++;
    left.set(word, count - 1);
  }
  if (foundWords.length === 0 || wantedWords.length === 0) {
    const same = foundWords.length === wantedWords.length ? 1 : 0;
    return { precision: same, recall: same, f1: same };
  }
  const precision = both / foundWords.length;
  const recall = both / wantedWords.length;
  return { precision, recall, f1: both === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
}

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

/** The mean of each figure. */
export function meanScore(scores: readonly WordScore[]): WordScore {
  const mean = (of: keyof WordScore): number =>
    scores.reduce((sum, score) => sum + score[of], 0) / scores.length;
  return { precision: mean("precision"), recall: mean("recall"), f1: mean("f1") };
}
