/**
 * npx tsx bench/papers/moe_vs_dense.ts [--out DIR] [--seeds N] [--threads N]
 *
 * Do experts learn more than a dense model of as many active parameters (Fedus et al. 2021, arXiv:2101.03961; Jiang et al. 2024,
 * arXiv:2401.04088), and does a bias balance them at no cost (Wang et al. 2024, arXiv:2408.15664; DeepSeek-V3)? Small models on
 * WordNet's glosses and TypeScript's declarations. Ends with a table of the claims beside what came out, which is written to DIR
 * as findings.md and results.json, with the charts as SVG.
 */
import { device } from "../../lib/index.ts";
import {
  armsTable,
  evennessPlot,
  gainPlot,
  kMoeVsDense,
  loadsPlot,
  moeVsDense,
  moeVsDenseFindings,
} from "./moe/moe_vs_dense.ts";
import { stopwatch, studyArguments, writeStudy } from "./study_files.ts";

const { out, on, seeds = kMoeVsDense.seeds } = studyArguments("moe_vs_dense");
const watch = stopwatch();
using dev = await device("cpu", on);
const result = await moeVsDense(dev, { ...kMoeVsDense, seeds }, watch.line);
await writeStudy(out, {
  seconds: watch.seconds(),
  findings: moeVsDenseFindings(result),
  tables: [armsTable(result)],
  charts: {
    "gain.svg": gainPlot(result),
    "evenness.svg": evennessPlot(result),
    "loads.svg": loadsPlot(result),
  },
  result,
});
