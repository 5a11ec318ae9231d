import {
  type BaseResult,
  type ModuleRank,
  msPerToken,
  peakBytes,
  type StudyPoint,
  type StudyResult,
} from "./results.ts";
import type { StudySettings } from "./settings.ts";

/** What was learned of the new domain and forgotten of the old one, as changes of the loss, in nats a token. */
export interface TradeOff {
  learned: number;
  forgotten: number;
}

export const tradeOff = (point: Pick<StudyPoint, "new" | "old">, base: BaseResult): TradeOff => ({
  learned: base.new.loss - point.new.loss,
  forgotten: point.old.loss - base.old.loss,
});

/** A run in one flat object: a line of runs.csv, and of `--json`. */
export interface RunRow extends Partial<TradeOff> {
  run: string;
  status: StudyResult["status"];
  reason?: string;
  method: string;
  rank?: number;
  alpha?: number;
  targets?: string;
  lr: number;
  seed: number;
  /** Where the run was measured last: at its end, if it is done. */
  step: number;
  tokens: number;
  /** Numbers that train. */
  parameters: number;
  /** On the part of the held-out text that learning rates are chosen by. */
  choiceLoss?: number;
  newLoss?: number;
  newBitsPerByte?: number;
  oldLoss?: number;
  oldBitsPerByte?: number;
  /** Most bytes of tensors at a time while training. */
  peakBytes?: number;
  msPerToken?: number;
}

export function rowOf(result: StudyResult, base: BaseResult): RunRow {
  const { run, status, reason, parameters } = result;
  const { name, rank, alpha, targets } = run.method;
  const last = result.points.at(-1);
  const all = {
    run: run.name,
    status,
    reason,
    method: name,
    rank,
    alpha,
    targets,
    lr: run.lr,
    seed: run.seed,
    step: last?.step ?? 0,
    tokens: last?.tokens ?? 0,
    parameters,
    ...(last && lossesOf(last, base)),
    peakBytes: peakBytes(result),
    msPerToken: msPerToken(result),
  };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  ) as unknown as RunRow;
}

const lossesOf = (point: StudyPoint, base: BaseResult) => ({
  choiceLoss: point.choice.loss,
  newLoss: point.new.loss,
  newBitsPerByte: point.new.bitsPerByte,
  oldLoss: point.old.loss,
  oldBitsPerByte: point.old.bitsPerByte,
  ...tradeOff(point, base),
});

const kRunColumns: readonly (keyof RunRow)[] = [
  "run",
  "status",
  "method",
  "rank",
  "alpha",
  "targets",
  "lr",
  "seed",
  "step",
  "tokens",
  "parameters",
  "choiceLoss",
  "newLoss",
  "newBitsPerByte",
  "oldLoss",
  "oldBitsPerByte",
  "learned",
  "forgotten",
  "peakBytes",
  "reason",
];

/**
 * runs.csv: a line a run. After what stands in a row, the mean rank that holds the variance asked for at the end, by layer kind. Time
 * comes last: it alone differs when a study is done again.
 */
export function runRows(
  results: readonly StudyResult[],
  base: BaseResult,
  { variance }: Pick<StudySettings, "variance">,
): string {
  const ranksOf = ({ points }: StudyResult): ModuleRank[] => points.at(-1)?.ranks ?? [];
  const kinds = [...new Set(results.flatMap((result) => ranksOf(result).map(({ kind }) => kind)))].sort();
  const percent = Number((100 * variance).toPrecision(6));
  const head = [...kRunColumns, ...kinds.map((kind) => `rank${percent}_${kind}`), "msPerToken"];
  const lines = results.map((result) => {
    const row = rowOf(result, base);
    const ranks = kinds.map((kind) =>
      mean(
        ranksOf(result)
          .filter((r) => r.kind === kind)
          .map((r) => r.rank),
      ),
    );
    return [...kRunColumns.map((key) => row[key]), ...ranks, row.msPerToken];
  });
  return csv([head, ...lines]);
}

/** points.csv: a line for each run at each of its points. */
export function pointRows(results: readonly StudyResult[], base: BaseResult): string {
  const head = [
    "run",
    "step",
    "tokens",
    "choiceLoss",
    "newLoss",
    "newBitsPerByte",
    "oldLoss",
    "oldBitsPerByte",
    "learned",
    "forgotten",
    "deltaMagnitude",
    "deltaDirection",
  ];
  const lines = results.flatMap(({ run, points }) =>
    points.map((point) => [
      run.name,
      point.step,
      point.tokens,
      ...Object.values(lossesOf(point, base)),
      mean(point.drift.map(({ magnitude }) => magnitude)),
      mean(point.drift.map(({ direction }) => direction)),
    ]),
  );
  return csv([head, ...lines]);
}

/** Undefined of nothing. */
export const mean = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : values.reduce((sum, v) => sum + v, 0) / values.length;

/** RFC 4180, with line ends as everywhere else here. An absent value is an empty field. */
function csv(rows: readonly (readonly (string | number | undefined)[])[]): string {
  const field = (value: string | number | undefined): string => {
    const text = String(value ?? "");
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(field).join(",")}\n`).join("");
}
