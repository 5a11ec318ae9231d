// What a paper claims beside what came out here: for every script in bench/papers.

/** One claim, its figure in the paper, ours, and whether ours bears it out. */
export interface Finding {
  claim: string;
  paper: string;
  ours: string;
  holds: "yes" | "no" | "in part";
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** With n − 1. 0 for one value. */
export function deviation(values: readonly number[]): number {
  const average = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - average) ** 2, 0);
  return values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0;
}

/** Student's t for 95 % on both sides, by degrees of freedom. */
const kStudent = [
  Number.NaN,
  12.706,
  4.303,
  3.182,
  2.776,
  2.571,
  2.447,
  2.365,
  2.306,
  2.262,
  2.228,
  2.201,
  2.179,
  2.16,
  2.145,
  2.131,
  2.12,
  2.11,
  2.101,
  2.093,
  2.086,
  2.08,
  2.074,
  2.069,
  2.064,
  2.06,
  2.056,
  2.052,
  2.048,
  2.045,
  2.042,
];

/** Half the width of the 95 % interval of the mean, by Student's t. NaN for one value. */
export function halfInterval(values: readonly number[]): number {
  const student = kStudent[values.length - 1] ?? 1.96;
  return (student * deviation(values)) / Math.sqrt(values.length);
}

/** "0.412 ± 0.021": mean and half the 95 % interval; the mean alone where there is one value. */
export function meanText(values: readonly number[], digits = 3): string {
  const half = halfInterval(values);
  const center = mean(values).toFixed(digits);
  return Number.isFinite(half) ? `${center} ± ${half.toFixed(digits)}` : center;
}

/** Claims side by side, as Markdown. */
export function findingsTable(findings: readonly Finding[]): string {
  const rows = findings.map(
    ({ claim, paper, ours, holds }) => `| ${claim} | ${paper} | ${ours} | ${holds} |`,
  );
  return ["| claim | paper's figure | ours | holds? |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

/** Any table, as Markdown. */
export function markdownTable(
  columns: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}
