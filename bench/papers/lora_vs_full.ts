/**
 * npx tsx bench/papers/lora_vs_full.ts [--out DIR] [--seeds N]
 *
 * Biderman et al. 2024, "LoRA Learns Less and Forgets Less" (arXiv:2405.09673), small: the model that ships knows WordNet's
 * glosses and is trained on TypeScript's declarations, in full, with LoRA of three ranks, and in full with weight decay, each
 * at its own best learning rate. Learning and forgetting are bits a byte on held-out text. Ends with a table of the paper's
 * claims beside what came out, written to DIR as findings.md and results.json, with the charts as SVG and both studies.
 */
import { overTokens, paretoChart } from "./adaptation/charts.ts";
import { runScript, type Script } from "./adaptation/script.ts";
import { armsTable, findings, kArms, kSettings } from "./lora_vs_full/claims.ts";

const script: Script = {
  name: "lora_vs_full",
  arms: kArms,
  settings: kSettings,
  rounds: 20,
  findings,
  tables: (outcome) => [armsTable(outcome)],
  charts: (outcome) => ({
    "pareto.svg": paretoChart(
      outcome,
      "Learning against forgetting, from few tokens to many; means over seeds",
    ),
    "learning.svg": overTokens(outcome, "learned", "What was learned of TypeScript's declarations"),
    "forgetting.svg": overTokens(outcome, "forgotten", "What was forgotten of WordNet's glosses"),
  }),
};
await runScript(script);
