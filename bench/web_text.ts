/**
 * npx tsx bench/web_text.ts [DIR]
 *
 * Speed of each step of the web-text pipeline on the crawl that bench/debian_crawl.ts records in DIR (default
 * runs/debian_crawl): MB of text that go into the step, and documents, by a second of processor time on one thread, beside what
 * bounds it: a copy of the text, zlib alone for the reader, htmlparser2 alone for the extraction. Steps run one after
 * another, each on the documents that the one before it kept, twice; the second round counts.
 */
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { loadavg } from "node:os";
import path from "node:path";
import { createGunzip } from "node:zlib";
import { Parser } from "htmlparser2";
import { bloom } from "../lib/data/dedup/bloom.ts";
import { exact } from "../lib/data/dedup/exact.ts";
import { sentence } from "../lib/data/dedup/sentence.ts";
import { signature } from "../lib/data/dedup/signature.ts";
import type { Document } from "../lib/data/document.ts";
import { mainText } from "../lib/data/extract/main_text.ts";
import { c4, fineweb, gopherQuality, gopherRepetition, language } from "../lib/data/filters/index.ts";
import { pii } from "../lib/data/format/pii.ts";
import { warc } from "../lib/data/readers/warc.ts";
import { measuresOf } from "../lib/data/stats/measures.ts";
import { filterStep, type Step, type TaskContext } from "../lib/data/step.ts";
import { markdownTable } from "./papers/findings.ts";

const dir = process.argv[2] ?? "runs/debian_crawl";
const files = (await readdir(dir).catch(() => []))
  .filter((name) => /^debian-\d+\.warc\.gz$/.test(name))
  .map((name) => path.join(dir, name));
if (files.length === 0)
  throw new Error(`bench/web_text: ${dir} holds no crawl. Run: npx tsx bench/debian_crawl.ts --out ${dir}`);

const context: TaskContext = {
  task: 0,
  tasks: 1,
  signal: new AbortController().signal,
  drop: () => undefined,
  count: () => undefined,
  create: () => Promise.reject(new Error("nothing is written here")),
};
const megabytesOf = (documents: readonly Document[]): number =>
  documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0) / 1e6;

/** Seconds of processor time of the second of two calls, with what it returned. */
async function timed<T>(run: () => Promise<T>): Promise<{ seconds: number; result: T }> {
  await run();
  const before = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(before);
  return { seconds: (user + system) / 1e6, result };
}

async function through(step: Step, documents: readonly Document[]): Promise<Document[]> {
  async function* source() {
    yield* documents;
  }
  const kept: Document[] = [];
  for await (const document of step.run(source(), context)) kept.push(document);
  return kept;
}

const rows: (string | number)[][] = [];
function row(
  name: string,
  documents: number,
  megabytes: number,
  seconds: number,
  bound: { name: string; rate: number } | undefined,
): void {
  const rate = megabytes / seconds;
  const share = bound ? `${((100 * rate) / bound.rate).toFixed(1)} % of ${bound.name}` : "–";
  rows.push([name, documents, rate.toFixed(1), Math.round(documents / seconds), share]);
  console.log(rows.at(-1)!.join("  "));
}

const reader = warc(files);
const read = await timed(async () => {
  const documents: Document[] = [];
  for (const file of files) for await (const document of reader.read(file, context)) documents.push(document);
  return documents;
});
const pages = read.result;
const megabytes = megabytesOf(pages);
const inflate = await timed(async () => {
  let bytes = 0;
  for (const file of files)
    for await (const chunk of createReadStream(file).pipe(createGunzip())) bytes += (chunk as Buffer).length;
  return bytes;
});
const zlib = { name: "zlib alone", rate: inflate.result / 1e6 / inflate.seconds };
const parse = await timed(async () => {
  let tags = 0;
  for (const { text } of pages) new Parser({ onopentag: () => void tags++ }).end(text);
  return tags;
});
const parser = { name: "htmlparser2 alone", rate: megabytes / parse.seconds };
const bytes = pages.map(({ text }) => Buffer.from(text));
const copy = await timed(async () => bytes.reduce((sum, one) => sum + Buffer.from(one).length, 0));
const memory = { name: "a copy", rate: megabytes / copy.seconds };

console.log(
  `${pages.length} pages, ${megabytes.toFixed(0)} MB, load ${loadavg()[0]!.toFixed(1)}; zlib ${zlib.rate.toFixed(0)}, ` +
    `htmlparser2 ${parser.rate.toFixed(0)}, copy ${memory.rate.toFixed(0)} MB/s`,
);
row("read.warc", pages.length, megabytes, read.seconds, zlib);

let documents: readonly Document[] = pages;
for (const step of [
  mainText({ timeoutMs: 60_000 }),
  language(),
  gopherRepetition(),
  gopherQuality(),
  c4({ filterNoTerminalPunct: false }),
  fineweb(),
]) {
  const before = documents;
  const { seconds, result } = await timed(() => through(step, before));
  const { step: name } = step.description;
  row(name, before.length, megabytesOf(before), seconds, name === "extract.mainText" ? parser : memory);
  documents = result;
}
const kept = documents;
const size = megabytesOf(kept);
for (const step of [
  pii(),
  exact(),
  sentence(),
  bloom({ shingles: 20_000_000 }),
  filterStep("stats.histograms", {}, ({ text }) => {
    measuresOf(text);
    return { keep: true };
  }),
]) {
  const { seconds } = await timed(() => through(step, kept));
  row(step.description.step, kept.length, size, seconds, memory);
}
const signatures = await timed(async () => {
  let numbers = 0;
  for (const { text } of kept)
    numbers += signature(text, { ngram: 5, buckets: 14, hashesPerBucket: 8 }).length;
  return numbers;
});
row("minhash signatures", kept.length, size, signatures.seconds, memory);

console.log(`\n${markdownTable(["step", "documents", "MB/s", "documents/s", "bound"], rows)}`);
