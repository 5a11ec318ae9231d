// Pages without use, as the open web has them and this crawl hasn't: made up here, and planted among real pages.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Random } from "../../../lib/core/random.ts";
import {
  filter,
  pipelineVariants,
  type Reader,
  read,
  readRows,
  type Step,
  type VariantTexts,
} from "../../../lib/index.ts";

/** Length of a planted page, in UTF-16 code units, about. */
const kPage = 4000;

const kKinds = ["menu", "keywords", "numbers", "notices"] as const;
type Kind = (typeof kKinds)[number];

const notices = [
  "We use cookies to give you the best experience on our site.",
  "By going on you agree to our terms of use and our privacy policy.",
  "Please enable JavaScript in your browser to see this page.",
  "Sign up for our newsletter and never miss an offer again!",
  "All rights reserved.",
];

/** A page of one kind, of words that real pages have. */
export function junkPage(kind: Kind, words: readonly string[], random: Random): string {
  const word = (): string => words[random.below(words.length)]!;
  const several = (count: number, make: () => string): string =>
    Array.from({ length: count }, make).join(" ");
  const topic = [word(), word(), word()];
  const line: Record<Kind, () => string> = {
    menu: () => several(1 + random.below(3), word),
    keywords: () => several(20, () => (random.below(2) === 0 ? topic[random.below(3)]! : word())),
    numbers: () => `${word()} ${several(6, () => String(random.below(100_000)))}`,
    notices: () => notices[random.below(notices.length)]!,
  };
  const lines: string[] = [];
  for (let length = 0; length < kPage; length += lines.at(-1)!.length + 1) lines.push(line[kind]());
  return lines.join("\n");
}

/**
 * The documents of `files` and as much junk, a quarter of each kind; and what the filters leave of both. `removed` counts the
 * planted pages that they drop.
 */
export async function plantJunk(
  files: readonly string[],
  out: string,
  random: Random,
): Promise<{ junk: VariantTexts; filtered: VariantTexts; pages: number; removed: number }> {
  const lines: string[] = [];
  const words: string[] = [];
  let length = 0;
  for (const file of files) {
    for await (const { value } of readRows(file)) {
      const { text } = value as { text: string };
      lines.push(JSON.stringify(value));
      length += text.length;
      words.push(
        ...text
          .slice(0, 2000)
          .split(/[^\p{L}]+/u)
          .filter((word) => word.length > 2),
      );
    }
  }
  const pages = Math.round(length / kPage);
  for (let k = 0; k < pages; k++) {
    const planted = kKinds[k % kKinds.length]!;
    const text = junkPage(planted, words, random);
    lines.push(JSON.stringify({ text, id: `planted-${k}`, metadata: { planted } }));
  }
  const input = path.join(out, "pages.jsonl");
  mkdirSync(out, { recursive: true });
  writeFileSync(input, `${lines.join("\n")}\n`);
  const steps: [Reader, ...Step[]] = [read.jsonl(input), ...paperFilters()];
  const made = await pipelineVariants({
    steps,
    variants: { junk: { only: [] }, filtered: {} },
    out: path.join(out, "texts"),
  });
  let left = 0;
  for (const file of made.filtered!.files)
    for await (const { value } of readRows(file))
      if ("planted" in (value as { metadata: object }).metadata) left++;
  return { junk: made.junk!, filtered: made.filtered!, pages, removed: pages - left };
}

/** The filters whose use is asked for, in the paper's order. */
export const paperFilters = (): Step[] => [
  filter.gopherRepetition(),
  filter.gopherQuality(),
  filter.c4({ filterNoTerminalPunct: false }),
  filter.fineweb(),
];
