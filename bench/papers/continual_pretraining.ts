/**
 * npx tsx bench/papers/continual_pretraining.ts [--out DIR] [--seeds N] [--only a,b,c]
 *
 * Ibrahim et al. 2024, "Simple and Scalable Strategies to Continually Pre-train Large Language Models" (arXiv:2403.08763),
 * small: a sparse model of a third of a million parameters learns dictionary glosses and goes on with another text, (a) German,
 * (b) English, with 0 to 50 % of the glosses replayed; (c) with other learning rates. Ends with a table of the paper's claims
 * beside what came out, which is written to DIR as findings.md and results.json, with the charts as SVG.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { onInterrupt } from "../../lib/cli/interrupt.ts";
import { device } from "../../lib/index.ts";
import { charts } from "./continual_pretraining/charts.ts";
import { findingsOf } from "./continual_pretraining/claims.ts";
import { realTexts } from "./continual_pretraining/domains.ts";
import { continualPretraining, kOptions, type Part } from "./continual_pretraining/study.ts";
import { lossTables } from "./continual_pretraining/tables.ts";
import { findingsTable } from "./findings.ts";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "runs/continual_pretraining" },
    seeds: { type: "string", default: String(kOptions.seeds) },
    only: { type: "string", default: "a,b,c" },
  },
});
const parts = values.only.split(",") as Part[];
if (!parts.every((part) => ["a", "b", "c"].includes(part)))
  throw new Error(`--only is ${values.only}: a, b, c or some of them was needed`);
const seeds = Number(values.seeds);
if (!(Number.isInteger(seeds) && seeds > 0))
  throw new Error(`--seeds is ${values.seeds}: a whole number above 0 was needed`);

const started = performance.now();
const progress = (line: string): void =>
  console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line}`);
const texts = await realTexts();
const { signal, end } = onInterrupt("Stopping after this step; nothing is written.");
const dir = await mkdtemp(path.join(tmpdir(), "continual-pretraining-"));
const dev = await device("cpu");
try {
  const study = await continualPretraining(
    dev,
    texts,
    { ...kOptions, parts, seeds },
    { dir, signal, progress },
  );
  const seconds = Math.round((performance.now() - started) / 1000);
  const findings = findingsOf(study);
  const text = [findingsTable(findings), ...lossTables(study), `${seconds} s.`].join("\n\n");
  const files = new Map([
    ["findings.md", `${text}\n`],
    ["results.json", `${JSON.stringify({ seconds, findings, ...study }, undefined, 1)}\n`],
    ...charts(study),
  ]);
  await mkdir(values.out, { recursive: true });
  for (const [name, content] of files) await writeFile(path.join(values.out, name), content);
  console.log(`\n${text}\n\n${[...files.keys()].map((name) => path.join(values.out, name)).join("\n")}`);
} catch (error) {
  if (!signal.aborted) throw error;
  process.exitCode = 130;
} finally {
  end();
  dev.close();
  await rm(dir, { recursive: true });
}
