import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Random } from "../../lib/core/random.ts";
import { gzipMembers, httpBytes, warcRecord } from "./warc_file.ts";

const words = {
  noun: "river mountain window teacher garden market winter letter engine harbour village doctor painter forest kitchen bridge farmer island captain story",
  verb: "followed remembered painted carried crossed described opened repaired visited measured watched promised",
  adjective: "old quiet narrow golden distant careful broken heavy curious gentle northern early",
  the: "the a this that every another my her his our",
  by: "by near behind with after before without beside under of to",
  and: "and but because while when until although so",
  she: "she he we they nobody somebody",
};

/** Sentences by what stands in each place; what isn't a key above stands as it is. */
const patterns = [
  "the adjective noun verb the noun by the noun and she verb the adjective noun",
  "by the noun she verb the noun that had been adjective and verb the noun by the noun",
  "she verb the adjective noun and the noun by the noun verb the noun",
  "and the noun verb the adjective noun she have verb the noun by the adjective noun",
];

/** English that a language filter knows and no rule of quality minds, in paragraphs of so many sentences. */
export function prose(random: Random, paragraphs: number, sentences = 4): string[] {
  const sentence = (): string => {
    const filled = patterns[random.below(patterns.length)]!.split(" ").map((place) => {
      const choices = words[place as keyof typeof words]?.split(" ") ?? [place];
      return choices[random.below(choices.length)]!;
    });
    const text = filled.join(" ");
    return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
  };
  return Array.from({ length: paragraphs }, () => Array.from({ length: sentences }, sentence).join(" "));
}

const page = (title: string, paragraphs: readonly string[]): string =>
  `<html><head><title>${title}</title></head><body><nav><a href="/">Home</a></nav><article><h1>${title}</h1>${paragraphs
    .map((paragraph) => `<p>${paragraph}</p>`)
    .join("\n")}</article></body></html>`;

/** What pages are for, in turns. */
const turns = [
  "prose",
  "prose",
  "prose",
  "contact",
  "prose",
  "copy",
  "prose",
  "short",
  "prose",
  "missing",
] as const;

/**
 * Crawls of `pages` pages a file in a folder, always the same ones: of each ten pages seven are prose (one with an address in
 * it), one is a near copy of a page before, one is too short, one isn't there. Returns the pattern and the kind of each URL.
 */
export function writeCrawl(dir: string, files: number, pages: number) {
  mkdirSync(dir, { recursive: true });
  const random = new Random(7);
  const kinds = new Map<string, (typeof turns)[number]>();
  const texts: string[][] = [];
  for (let f = 0; f < files; f++) {
    const records: Buffer[] = [];
    for (let p = 0; p < pages; p++) {
      const url = `http://site${f}.example/${p}.html`;
      const kind = turns[p % 10]!;
      let paragraphs = kind === "short" ? prose(random, 1, 2) : prose(random, 8);
      if (kind === "copy") paragraphs = [...texts[random.below(texts.length)]!, paragraphs[0]!];
      if (kind === "contact") paragraphs = [...paragraphs, `Write to the captain at jack.${p}@ships.org.`];
      if (kind === "prose") texts.push(paragraphs);
      kinds.set(url, kind);
      const status = kind === "missing" ? "404 Not Found" : "200 OK";
      const body = page(`Page ${p} of site ${f}`, paragraphs);
      records.push(warcRecord(httpBytes(body, { status }), { id: `<urn:uuid:${f}-${p}>`, url }));
    }
    writeFileSync(path.join(dir, `${f}.warc.gz`), gzipMembers(records));
  }
  return { pattern: path.join(dir, "*.warc.gz"), kinds };
}
