import { combined, holds } from "../peers/figures.ts";
import type { Row } from "./contest.ts";
import { figures } from "./figures.ts";
import type { Standing } from "./race.ts";

const three = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 0.001 ? String(Number(x.toPrecision(3))) : x.toExponential(1);
const ms = (standing?: Standing): string =>
  standing ? `${three(standing.median * 1e3)} (${three(standing.best * 1e3)})` : "";
const percent = ({ floor }: Row, standing?: Standing): string =>
  floor && standing ? ((100 * floor) / standing.median).toFixed(0) : "";

const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** The table of rows, which come one after the other. */
export const head: readonly string[] = [
  line([
    ...["figure", "work", "dtype", "peer", "ours, ms: median (best)", "peer, ms", "peer / ours"],
    ...["gate", "% of roofline", "peer's %", "error", "peer's error", "note"],
  ]),
  `|${" --- |".repeat(13)}`,
];

export function rowLine(row: Row): string {
  const { figure, title, dtype, peer, value, ours, theirs, errors, note } = row;
  const known = figures.find(({ id }) => id === figure);
  const gate = known ? `${known.atMost ? "≤" : "≥"} ${known.gate}` : "";
  const verdict = known && value !== undefined ? (holds(known, value, known.gate) ? " ✓" : " ✗") : "";
  return line([
    ...[figure, title, dtype, peer, ms(ours), ms(theirs)],
    value === undefined ? "" : `**${three(value)}**`,
    gate + verdict,
    ...[percent(row, ours), percent(row, theirs)],
    ...[errors.ours, errors.theirs].map((error) => (error === undefined ? "" : error.toExponential(1))),
    note.replaceAll("|", "/"),
  ]);
}

/** Every figure, and whether its bounds hold. */
export function figureLines(rows: readonly Row[]): string[] {
  const body = figures.map((figure) => {
    const { id, title, gate, target, atMost } = figure;
    const cases = rows.filter((row) => row.figure === id).map((row) => ({ ...row, load: 0 }));
    const value = combined(figure, cases);
    const bound = (limit: number): string => {
      const verdict = value === undefined ? "" : holds(figure, value, limit) ? ", holds" : ", **fails**";
      return `${atMost ? "≤" : "≥"} ${limit}${verdict}`;
    };
    return line([
      id,
      title,
      value === undefined ? "not measured" : three(value),
      bound(gate),
      bound(target!),
    ]);
  });
  return [line(["figure", "what", "value", "gate", "target"]), "| --- | --- | --: | --- | --- |", ...body];
}
