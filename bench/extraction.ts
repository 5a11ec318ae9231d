/**
 * Main text of labelled pages, by this library and by others: how much of it is right, and how fast.
 * `npx tsx bench/extraction.ts FOLDER`, which holds minicrawl/ and readability/ (see labelled_pages.ts).
 * Speed is by processor time, so that neighbours disturb it less; the first round, which compiles, isn't counted.
 */
import { Readability } from "@mozilla/readability";
import { parseHTML } from "linkedom";
import { extract } from "../lib/data/extract/main_text.ts";
import { type LabelledPage, labelledPages, meanScore, wholeText, wordScore } from "./labelled_pages.ts";

const kRounds = 3;

const methods: Record<string, (html: string) => string> = {
  mainText: (html) => {
    const verdict = extract(html, 60_000);
    return verdict.keep ? (verdict.text ?? "") : "";
  },
  "all text": wholeText,
  "readability + linkedom": (html) => {
    const found = new Readability(parseHTML(html).document).parse();
    return found?.content ? wholeText(found.content) : "";
  },
};

function measure(pages: readonly LabelledPage[], method: (html: string) => string) {
  const texts = pages.map(({ html }) => method(html));
  const bytes = pages.reduce((sum, { html }) => sum + Buffer.byteLength(html), 0);
  const cpu = process.cpuUsage();
  for (let round = 0; round < kRounds; round++) for (const { html } of pages) method(html);
  const { user, system } = process.cpuUsage(cpu);
  const scores = texts.map((text, i) => ({ set: pages[i]!.set, ...wordScore(text, pages[i]!.mainText) }));
  return { scores, mbPerSecond: (bytes * kRounds) / (user + system) };
}

const folder = process.argv[2];
if (folder === undefined)
  throw new Error("extraction: no folder, one with minicrawl/ and readability/ was needed.");
const pages = await labelledPages(folder);
const rows = Object.entries(methods).flatMap(([method, run]) => {
  const { scores, mbPerSecond } = measure(pages, run);
  return (["minicrawl", "readability"] as const).map((set) => {
    const own = scores.filter((score) => score.set === set);
    const { precision, recall, f1 } = meanScore(own);
    return {
      ...{ method, set, pages: own.length, precision: precision.toFixed(4), recall: recall.toFixed(4) },
      ...{ f1: f1.toFixed(4), "MB/cpu-s": mbPerSecond.toFixed(1) },
    };
  });
});
console.table(rows);
