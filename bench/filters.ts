import { readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { gunzipSync } from "node:zlib";
import { c4 } from "../lib/data/filters/c4.ts";
import { fineweb } from "../lib/data/filters/fineweb.ts";
import { gopherQuality } from "../lib/data/filters/gopher_quality.ts";
import { gopherRepetition } from "../lib/data/filters/gopher_repetition.ts";
import type { Filter } from "../lib/data/step.ts";
import { sharedPath } from "../test/support/shared_data.ts";

/**
 * MB of UTF-8 text by a second of processor time, of the rule filters: each alone, and one after another as the pipeline runs them
 * (a dropped document ends its way). `npx tsx bench/filters.ts`; texts: datatrove's reference documents, 2 MB.
 */
const file = sharedPath("data/web/filter_ref/docs.jsonl.gz");
if (file === undefined) throw new Error("bench/filters: data/web/filter_ref of the shared folder is needed");
const texts = gunzipSync(readFileSync(file))
  .toString()
  .trim()
  .split("\n")
  .map((line) => (JSON.parse(line) as { text: string }).text);
const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6;

function passes(filters: readonly Filter[]): void {
  for (const [i, original] of texts.entries()) {
    let text = original;
    for (const filter of filters) {
      const verdict = filter.apply({ id: String(i), text, metadata: {} });
      if (verdict instanceof Promise || !verdict.keep) break;
      text = verdict.text ?? text;
    }
  }
}

function speed(filters: readonly Filter[]): string {
  passes(filters);
  const rates: number[] = [];
  for (let round = 0; round < 9; round++) {
    const start = process.cpuUsage();
    passes(filters);
    const { user, system } = process.cpuUsage(start);
    rates.push((megabytes * 1e6) / (user + system));
  }
  rates.sort((a, b) => a - b);
  return `median ${rates[4]!.toFixed(1)} MB/s, best ${rates[8]!.toFixed(1)}`;
}

const all = [gopherRepetition(), gopherQuality(), c4({ filterNoTerminalPunct: false }), fineweb()];
console.log(
  `${texts.length} texts, ${megabytes.toFixed(2)} MB; load ${loadavg()[0]!.toFixed(2)} on ${cpus().length} cores`,
);
for (const filter of all) console.log(`${filter.description.step}: ${speed([filter])}`);
console.log(`all four in a row: ${speed(all)}`);
