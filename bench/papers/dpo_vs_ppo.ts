/**
 * npx tsx bench/papers/dpo_vs_ppo.ts [--out DIR] [--seeds N] [--only a,b,c]
 *
 * Xu et al. 2024, "Is DPO Superior to PPO for LLM Alignment? A Comprehensive Study" (arXiv:2404.10719), small: (a) its
 * three-action counter-example, (b) its 8 × 8 task, (c) DPO, iterative DPO and PPO with its three ingredients on a small
 * language model. Ends with a table of its claims beside what came out, which is written to DIR as findings.md and
 * results.json, with the charts as SVG. `--seeds` is for all three.
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { device } from "../../lib/index.ts";
import {
  counterExample,
  counterExampleFindings,
  counterExamplePlot,
  kCounterExample,
} from "./dpo_vs_ppo/counter_example.ts";
import {
  armsTable,
  frontierPlot,
  kLanguageModel,
  languageModel,
  languageModelFindings,
  rewardPlot,
} from "./dpo_vs_ppo/language_model.ts";
import { kSynthetic, synthetic, syntheticFindings, syntheticPlot } from "./dpo_vs_ppo/synthetic.ts";
import { type Finding, findingsTable } from "./findings.ts";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "runs/dpo_vs_ppo" },
    seeds: { type: "string" },
    only: { type: "string", default: "a,b,c" },
  },
});
const parts = values.only.split(",");
const odd = parts.find((part) => !["a", "b", "c"].includes(part));
if (odd !== undefined) throw new Error(`--only is ${values.only}: a, b, c or some of them was needed`);
const count = values.seeds === undefined ? undefined : Number(values.seeds);
if (count !== undefined && !(Number.isInteger(count) && count > 0))
  throw new Error(`--seeds is ${values.seeds}: a whole number above 0 was needed`);
const seeds = count === undefined ? {} : { seeds: count };

const started = performance.now();
const progress = (line: string): void =>
  console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line}`);
const files = new Map<string, string>();
const findings: Finding[] = [];
const results: Record<string, unknown> = {};
const tables: string[] = [];

const dev = await device("cpu");
if (parts.includes("a")) {
  const result = await counterExample(dev, { ...kCounterExample, ...seeds }, progress);
  results.counterExample = result;
  findings.push(...counterExampleFindings(result));
  files.set("counter_example.svg", counterExamplePlot(result));
}
if (parts.includes("b")) {
  const result = await synthetic(dev, { ...kSynthetic, ...seeds }, progress);
  results.synthetic = result;
  findings.push(...syntheticFindings(result));
  files.set("synthetic.svg", syntheticPlot(result));
}
if (parts.includes("c")) {
  const result = await languageModel(dev, { ...kLanguageModel, ...seeds }, progress);
  results.languageModel = result;
  findings.push(...languageModelFindings(result));
  tables.push(armsTable(result));
  files.set("language_model_reward.svg", rewardPlot(result));
  files.set("language_model_frontier.svg", frontierPlot(result));
}
dev.close();

const seconds = Math.round((performance.now() - started) / 1000);
const text = [...tables, findingsTable(findings), `${seconds} s.`].join("\n\n");
files.set("findings.md", `${text}\n`);
files.set("results.json", `${JSON.stringify({ seconds, findings, ...results }, undefined, 1)}\n`);
await mkdir(values.out, { recursive: true });
for (const [name, content] of files) await writeFile(path.join(values.out, name), content);
console.log(`\n${text}\n\n${[...files.keys()].map((name) => path.join(values.out, name)).join("\n")}`);
