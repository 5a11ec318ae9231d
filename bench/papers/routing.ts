/**
 * npx tsx bench/papers/routing.ts [--out DIR] [--seeds N] [--threads N]
 *
 * What a router chooses by: Jiang et al. 2024 (Mixtral, arXiv:2401.04088), §5, small. Models with experts are trained on glosses,
 * declarations and, where the Debian package debian-handbook is installed, a handbook in English and in German. Ends with a table
 * of the claims beside what came out, which is written to DIR as findings.md and results.json, with the charts as SVG.
 */
import { ConfigError } from "../../lib/core/errors.ts";
import { device } from "../../lib/index.ts";
import { kDomains } from "./moe/language.ts";
import { kMoeVsDense } from "./moe/moe_vs_dense.ts";
import { routingStudy } from "./moe/routing.ts";
import { domainLoadsPlot, repeatsPlot, repeatsTable, routingFindings } from "./moe/routing_findings.ts";
import { stopwatch, studyArguments, writeStudy } from "./study_files.ts";
import { handbook } from "./texts.ts";

const { out, on, seeds = kMoeVsDense.seeds } = studyArguments("routing");
const watch = stopwatch();
const missing = await handbook("de-DE").then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof ConfigError) return error.message;
    throw error;
  },
);
if (missing !== undefined) console.log(`Without the handbook. ${missing}`);
const domains = missing === undefined ? kDomains : kDomains.filter((name) => !name.startsWith("handbook"));
using dev = await device("cpu", on);
const result = await routingStudy(dev, { ...kMoeVsDense, domains, seeds }, watch.line);
await writeStudy(out, {
  seconds: watch.seconds(),
  findings: routingFindings(result),
  tables: [repeatsTable(result)],
  charts: {
    "repeats.svg": repeatsPlot(result),
    "loads_trained.svg": domainLoadsPlot(
      "Share of the choices by kind of text, trained on all of them, first seed",
      result.trained[0]!,
      result.experts,
    ),
    "loads_shipped.svg": domainLoadsPlot(
      "Share of the choices by kind of text, the model that ships",
      result.shipped,
      result.shippedExperts,
    ),
  },
  result,
});
