/**
 * npx tsx bench/papers/dora_vs_lora.ts [--out DIR] [--seeds N]
 *
 * Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation" (arXiv:2402.09353), small: the model that ships knows
 * WordNet's glosses and is trained on TypeScript's declarations with LoRA and DoRA of ranks 1 to 16, each at its
 * own best learning rate. Ends with a table of the paper's claims beside what came out, written to DIR as findings.md and
 * results.json, with the charts as SVG and both studies.
 */
import { paretoChart } from "./adaptation/charts.ts";
import { runScript, type Script } from "./adaptation/script.ts";
import { driftChart, findings, kArms, kSettings, rankChart, ranksTable } from "./dora_vs_lora/claims.ts";

const script: Script = {
  name: "dora_vs_lora",
  arms: kArms,
  settings: kSettings,
  rounds: 20,
  findings,
  tables: (outcome) => [ranksTable(outcome)],
  charts: (outcome) => ({
    "ranks.svg": rankChart(outcome),
    "drift.svg": driftChart(outcome),
    "pareto.svg": paretoChart(
      outcome,
      "Learning against forgetting, from few tokens to many; means over seeds",
    ),
  }),
};
await runScript(script);
