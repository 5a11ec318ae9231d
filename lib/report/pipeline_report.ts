import type { PipelineReport } from "../data/pipeline.ts";
import type { DroppedExample } from "../data/stats/examples.ts";
import { numberText, percentText } from "./number_text.ts";
import type { Curves, Report, Samples, Section, Table } from "./sections.ts";

/** What a pipeline's report shows beside its counts. */
export interface PipelineFindings {
  readonly dropped: readonly DroppedExample[];
  /** Documents that came through, as far as they are shown. */
  readonly kept: readonly { readonly id: string; readonly text: string }[];
  /** One chart a measure; a line for each place where it was taken. x: the measure, y: share of the documents. */
  readonly measures: readonly {
    readonly name: string;
    readonly places: readonly {
      readonly name: string;
      readonly mean: number;
      readonly points: readonly (readonly [number, number])[];
    }[];
  }[];
}

/** What went where and why, on one page. */
export function pipelineReport(title: string, report: PipelineReport, findings: PipelineFindings): Report {
  const { read, kept, bytes, seconds, tasks, counts } = report;
  return {
    title: `mixwright data: ${title}`,
    created: new Date(),
    settings: { steps: Object.keys(report.steps).join(" → "), tasks: tasks.total },
    sections: [
      {
        kind: "facts",
        title: "Documents",
        facts: {
          read,
          kept,
          "share kept": read === 0 ? "–" : percentText(kept / read),
          "MB read": Number((bytes / 1e6).toPrecision(4)),
          seconds: Number(seconds.toPrecision(3)),
          "tasks found through already": tasks.skipped,
        },
        note: "Read is kept and dropped together. Megabytes are those of the texts as the reader gave them.",
      },
      stepTable(report),
      reasonTable(report),
      ...(Object.keys(counts).length > 0 ? [countTable(counts)] : []),
      ...examples(findings),
      ...findings.measures.map(measureCurve),
      ...(findings.measures.length > 0 ? [meanTable(findings.measures)] : []),
    ],
  };
}

const share = (part: number, of: number): string => (of === 0 ? "–" : percentText(part / of));

function stepTable({ steps, read }: PipelineReport): Table {
  return {
    kind: "table",
    title: "Step by step",
    note: "Seconds are the step's own, of all tasks together, waiting for files included.",
    columns: ["Step", "In", "Out", "Dropped", "Left of all", "Seconds", "Documents/s"],
    rows: Object.entries(steps).map(([name, { in: came, out, seconds }]) => [
      name,
      came,
      out,
      share(came - out, came),
      share(out, read),
      Number(seconds.toPrecision(3)),
      seconds === 0 ? "–" : numberText(Math.round(came / seconds)),
    ]),
  };
}

function reasonTable({ steps, read }: PipelineReport): Table {
  const rows = Object.entries(steps).flatMap(([step, { in: came, dropped }]) =>
    Object.entries(dropped)
      .sort(([, a], [, b]) => b - a)
      .map(([reason, n]) => [step, reason, n, share(n, came), share(n, read)]),
  );
  return {
    kind: "table",
    title: "Why documents were dropped",
    columns: ["Step", "Reason", "Documents", "Of the step's", "Of all read"],
    rows,
  };
}

const countTable = (counts: Readonly<Record<string, number>>): Table => ({
  kind: "table",
  title: "What steps counted beside",
  columns: ["What", "How many"],
  rows: Object.entries(counts),
});

function examples({ dropped, kept }: PipelineFindings): Samples[] {
  const shown: Samples[] = [];
  if (dropped.length > 0)
    shown.push({
      kind: "samples",
      title: "Dropped",
      note: "The beginning of the first documents of each reason.",
      columns: ["Text"],
      heading: "Document",
      samples: dropped.map(({ step, reason, id, text }) => ({
        prompt: `${step}, ${reason}: ${id}`,
        texts: [text],
      })),
    });
  if (kept.length > 0)
    shown.push({
      kind: "samples",
      title: "Kept",
      note: "The beginning of the first documents that came through.",
      columns: ["Text"],
      heading: "Document",
      samples: kept.map(({ id, text }) => ({ prompt: id, texts: [text] })),
    });
  return shown;
}

function measureCurve({ name, places }: PipelineFindings["measures"][number]): Curves {
  return {
    kind: "curves",
    title: name,
    xLabel: name,
    yLabel: "share of documents",
    series: places.map((place) => ({ name: place.name, points: place.points })),
  };
}

function meanTable(measures: PipelineFindings["measures"]): Section {
  const names = measures[0]!.places.map(({ name }) => name);
  return {
    kind: "table",
    title: "Means",
    columns: ["", ...names],
    rows: measures.map(({ name, places }) => [
      name,
      ...places.map(({ mean }) => (Number.isNaN(mean) ? "–" : Number(mean.toPrecision(4)))),
    ]),
  };
}
