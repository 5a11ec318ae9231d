import { readdir } from "node:fs/promises";
import path from "node:path";
import { droppedExamples, firstDocuments } from "../data/stats/examples.ts";
import { curveOf, meanOf } from "../data/stats/histogram.ts";
import { type Histograms, readHistograms } from "../data/stats/histograms.ts";
import { kMeasures } from "../data/stats/measures.ts";
import type { PipelineReport } from "../index.ts";
import { writeReport } from "../report/page.ts";
import { type PipelineFindings, pipelineReport } from "../report/pipeline_report.ts";

/** Documents that are shown. */
const kKept = 5;
const kDuplicates = 2;

/** Folders of a run in which a report finds more than counts. */
export interface ReportSources {
  /** Of its `stats.histograms` steps, each named by its last part. */
  readonly stats: readonly string[];
  /** Of what came through. */
  readonly kept: string | undefined;
  /** Of what was dropped, by step and reason. */
  readonly rejected: string | undefined;
  /** Of what dedup.minhash dropped. */
  readonly duplicates?: string;
}

/** Writes the report of a pipeline's run: its counts, what was measured, examples of what was dropped and of what came through. */
export async function writeDataReport(
  file: string,
  name: string,
  report: PipelineReport,
  { stats, kept: keptIn, rejected, duplicates }: ReportSources,
): Promise<void> {
  const dropped = rejected === undefined ? [] : await droppedExamples(rejected);
  if (duplicates !== undefined) {
    const found = await firstDocuments(await outputsIn(duplicates), kDuplicates);
    dropped.push(...found.map(({ id, text }) => ({ step: "dedup.minhash", reason: "duplicate", id, text })));
  }
  const kept = keptIn === undefined ? [] : await firstDocuments(await outputsIn(keptIn), kKept);
  const places: { name: string; of: Histograms }[] = [];
  for (const dir of stats) places.push({ name: path.basename(dir), of: await readHistograms(dir) });
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
  const names = await readdir(dir, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return []; // nothing was written
    throw error;
  });
  return names
    .filter((name) => /\.jsonl(\.gz)?$/.test(name))
    .sort()
    .map((name) => path.join(dir, name));
}
