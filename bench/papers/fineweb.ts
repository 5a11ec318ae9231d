/**
 * npx tsx bench/papers/fineweb.ts [--out DIR] [--seeds N] [--crawl DIR]
 *
 * Penedo et al. 2024, "The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale" (arXiv:2406.17557), small: does
 * filtered and deduplicated text make better models than raw text, at equal tokens? On the English pages of the crawl that
 * bench/debian_crawl.ts records (run that first). Nothing is planted among them but in the two variants whose names begin with
 * "copies". Ends with a table of the paper's claims beside what came out, which is written to DIR as findings.md and results.json,
 * with the charts as SVG; texts and models stay in DIR/work, where another run goes on.
 */
import path from "node:path";
import { parseArgs } from "node:util";
import {
  curvesPlot,
  finewebFindings,
  mixTable,
  removedTable,
  scoresPlot,
  scoresTable,
} from "./fineweb/findings.ts";
import { fineweb, kFineweb } from "./fineweb/study.ts";
import { stopwatch, writeStudy } from "./study_files.ts";
import { glosses, handbook } from "./texts.ts";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "runs/fineweb" },
    seeds: { type: "string", default: String(kFineweb.seeds) },
    crawl: { type: "string", default: "runs/debian_crawl" },
  },
});
const seeds = Number(values.seeds);
if (!(Number.isInteger(seeds) && seeds > 0))
  throw new Error(`--seeds is ${values.seeds}: a whole number above 0 was needed`);
const watch = stopwatch();
const heldOut = { handbook: await handbook("en-US"), glosses: await glosses() };
const from = { crawl: values.crawl, out: path.join(values.out, "work"), heldOut };
const result = await fineweb(from, { ...kFineweb, seeds }, watch.line);
await writeStudy(values.out, {
  seconds: watch.seconds(),
  findings: finewebFindings(result),
  tables: [removedTable(result), mixTable(result), scoresTable(result)],
  charts: { "scores.svg": scoresPlot(result), "curves.svg": curvesPlot(result) },
  result,
});
