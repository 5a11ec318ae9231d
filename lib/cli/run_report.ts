import path from "node:path";
import { metricsSections, type StepMetrics, writeReport } from "../index.ts";
import { readTextIfThere } from "../io/read_text.ts";
import { writtenSections } from "../report/written_report.ts";
import { metricsFile, type RunFolder, samplesFile, type WrittenSample } from "../train/run_folder.ts";

/** Writes report.html into a run's folder, from what stands there. */
export async function writeRunReport(
  { dir }: RunFolder,
  command: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<void> {
  const metrics = await linesOf<StepMetrics>(metricsFile(dir));
  const samples = await linesOf<WrittenSample>(samplesFile(dir));
  const shown = Object.entries(settings).filter(([, value]) => value !== undefined);
  await writeReport(path.join(dir, "report.html"), {
    title: `mixwright ${command}: ${path.basename(dir)}`,
    created: new Date(),
    settings: Object.fromEntries(
      shown.map(([key, value]) => [key, typeof value === "number" ? value : settingText(value)]),
    ),
    sections: [...metricsSections(metrics), ...writtenSections(samples)],
  });
}

const settingText = (value: unknown): string =>
  Array.isArray(value)
    ? value.map((item) => (typeof item === "object" ? JSON.stringify(item) : String(item))).join(", ")
    : String(value);

/** What JSON has no word for was written as null: a number that isn't finite. */
async function linesOf<T>(file: string): Promise<T[]> {
  const lines = (await readTextIfThere(file))?.split("\n").filter((line) => line !== "") ?? [];
  return lines.map((line) => JSON.parse(line, (_, value) => (value === null ? Number.NaN : value)) as T);
}
