import { readdir } from "node:fs/promises";
import path from "node:path";
import { droppedExamples, firstDocuments } from "../data/stats/examples.ts";
import { curveOf, meanOf } from "../data/stats/histogram.ts";
import { type Histograms, readHistograms } from "../data/stats/histograms.ts";
import { kMeasures } from "../data/stats/measures.ts";
import type { StepDescription } from "../data/step.ts";
import type { PipelineReport } from "../index.ts";
import { writeReport } from "../report/page.ts";
import { type PipelineFindings, pipelineReport } from "../report/pipeline_report.ts";

/** Kept documents that are shown. */
const kKept = 5;

/**
 * Writes the report of a pipeline's run: its counts, what its `stats.histograms` steps measured, and examples of what was
 * dropped, from `rejected`, and of what came through, from its last `write.jsonl`.
 */
export async function writeDataReport(
  file: string,
  name: string,
  report: PipelineReport,
  { steps, rejected }: { steps: readonly StepDescription[]; rejected: string | undefined },
): Promise<void> {
  const dropped = rejected === undefined ? [] : await droppedExamples(rejected);
  const written = steps.findLast(({ step }) => step === "write.jsonl");
  const kept = written ? await firstDocuments(await outputsIn(String(written.options.dir)), kKept) : [];
  const places: { name: string; of: Histograms }[] = [];
  for (const { step, options } of steps) {
    if (step !== "stats.histograms") continue;
    const dir = String(options.dir);
    places.push({ name: path.basename(dir), of: await readHistograms(dir) });
  }
  const measures: PipelineFindings["measures"] =
    places.length === 0
      ? []
      : kMeasures.map((measure) => ({
          name: measure.name,
          places: places.map((place) => {
            const histogram = place.of[measure.name]!;
            return { name: place.name, mean: meanOf(histogram), points: curveOf(histogram, measure.kind) };
          }),
        }));
  await writeReport(file, pipelineReport(name, report, { dropped, kept, measures }));
}

async function outputsIn(dir: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true });
  return names
    .filter((name) => /\.jsonl(\.gz)?$/.test(name))
    .sort()
    .map((name) => path.join(dir, name));
}
