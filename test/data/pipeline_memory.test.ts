import { once } from "node:events";
import { createWriteStream } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { pipeline } from "../../lib/data/pipeline.ts";
import * as read from "../../lib/data/readers/index.ts";
import { filterStep } from "../../lib/data/step.ts";
import * as write from "../../lib/data/writers/index.ts";
import { tempDir } from "../support/temp_dir.ts";

/** Megabytes of input; more by hand. */
const kMegabytes = Number(process.env.MIXWRIGHT_PIPELINE_MB ?? 200);

test(`memory stays flat over ${kMegabytes} MB`, async () => {
  const dir = tempDir();
  // One gzip member of a megabyte, again and again.
  const line = (i: number) =>
    `${JSON.stringify({ text: `${i} ${"some words of text ".repeat(100 + (i % 50))}` })}\n`;
  const member = Array.from({ length: 420 }, (_, i) => line(i)).join("");
  const megabytes = Buffer.byteLength(member) / 1e6;
  const out = createWriteStream(path.join(dir, "in.jsonl.gz"));
  const bytes = gzipSync(member);
  const members = Math.ceil(kMegabytes / megabytes);
  for (let i = 0; i < members; i++) if (!out.write(bytes)) await once(out, "drain");
  out.end();
  await once(out, "close");

  const early: number[] = [];
  const late: number[] = [];
  const odd = filterStep("odd", {}, ({ text }) =>
    text.length % 2 === 1 ? { keep: false, reason: "odd" } : { keep: true },
  );
  const report = await pipeline([
    read.jsonl(path.join(dir, "in.jsonl.gz")),
    odd,
    write.jsonl(path.join(dir, "out")),
  ]).run({
    rejected: path.join(dir, "rejected"),
    onProgress: ({ bytes: done }) => {
      (done < kMegabytes * 3e5 ? early : late).push(process.memoryUsage().rss / 1e6);
    },
  });
  expect(report.read).toBe(members * 420);
  expect(report.kept + report.dropped.odd!).toBe(report.read);
  expect(early.length).toBeGreaterThan(0);
  expect(Math.max(...late) - Math.max(...early)).toBeLessThan(80);
}, 3_000_000);
