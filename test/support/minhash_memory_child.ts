import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { minhash } from "../../lib/data/dedup/minhash.ts";

/** Signs DOCUMENTS documents of twelve words with 200 buckets of 8 hashes, 12.8 kB each; prints the most memory it had, in MB. */
const [dir, count] = process.argv.slice(2) as [string, string];
const input = path.join(dir, `${count}.jsonl`);
let lines = "";
for (let i = 0; i < Number(count); i++) {
  const text = Array.from({ length: 12 }, (_, w) =>
    (i * 7919 + w * 104_729).toString(36).replace(/\d/g, "q"),
  ).join(" ");
  lines += `${JSON.stringify({ id: `${i}`, text })}\n`;
}
writeFileSync(input, lines);
const output = path.join(dir, count);
await minhash({ input, output, buckets: 200, memoryBytes: 8_000_000 }).run({
  workers: 1,
  stages: ["signatures", "buckets"],
});
console.log(process.resourceUsage().maxRSS / 1000);
rmSync(output, { recursive: true });
