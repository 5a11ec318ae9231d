import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Result } from "./duel.ts";
import { combined, type Figure, figures, holds } from "./figures.ts";

const ledger = path.join(import.meta.dirname, "../LEDGER.md");

const three = (x: number): string => (x >= 100 ? x.toFixed(0) : x >= 0.1 ? x.toPrecision(3) : x.toFixed(4));

/** As Markdown: the peer's time over ours, so that over 1 we are faster. */
export function ratioTable(results: readonly Result[]): string {
  const rows = results.map(({ figure = "", title, dtype, value, outcome, note, load }) => {
    const cells = ["", "", "", ""];
    if (value !== undefined) cells[2] = `**${three(value)}**`;
    if (outcome) {
      const { ours, peer } = outcome;
      cells[0] = three(ours.seconds * 1e3);
      cells[1] = three(peer.seconds * 1e3);
      cells[3] = `${ours.processors.toFixed(1)}, ${peer.processors.toFixed(1)}`;
    }
    const how = [outcome?.setting, note].filter(Boolean).join("; ");
    return [figure, title, dtype, ...cells, how, load.toFixed(1)];
  });
  return markdown(
    "figure | work | dtype | ours, ms | peer, ms | peer / ours | cpus | the peer's best setting | load",
    "---|---|---|--:|--:|--:|--:|---|--:",
    rows,
  );
}

/** As Markdown: the figures that these cases make, and whether their bounds hold; "" if they make none. */
export function figureTable(results: readonly Result[]): string {
  const rows = figures.flatMap((figure) => {
    const its = results.filter((one) => one.figure === figure.id);
    if (its.length === 0) return [];
    const { id, title, gate, target, atMost } = figure;
    const value = combined(figure, its);
    const bound = (limit: number | undefined): string => {
      if (limit === undefined) return "";
      const verdict = value === undefined ? "" : holds(figure, value, limit) ? ", holds" : ", **fails**";
      return `${atMost ? "≤" : "≥"} ${limit}${verdict}`;
    };
    return [[id, title, value === undefined ? "" : three(value), bound(gate), bound(target)]];
  });
  if (rows.length === 0) return "";
  return markdown("figure | what | value | gate | target", "---|---|--:|---|---", rows);
}

/** As a line of JSON. `value` is null when no case gave a number; their notes say why. */
export function figureLine(figure: Figure, cases: readonly Result[], machine: string): string {
  const { id, gate, target } = figure;
  return JSON.stringify({
    id,
    value: combined(figure, cases) ?? null,
    gate,
    target: target ?? null,
    machine,
    cases: cases.map(({ title, value, outcome, note, load }) => ({
      title,
      value: value ?? null,
      ...(outcome && {
        oursMs: outcome.ours.seconds * 1e3,
        peerMs: outcome.peer.seconds * 1e3,
        setting: outcome.setting,
      }),
      note,
      load,
    })),
  });
}

const markdown = (head: string, rule: string, rows: readonly string[][]): string =>
  [head, rule.replaceAll("|", " | "), ...rows.map((cells) => cells.join(" | "))]
    .map((line) => `| ${line} |`)
    .join("\n");

/** Puts a dated section before the older ones. */
export async function enterInLedger(section: string): Promise<void> {
  const text = await readFile(ledger, "utf8");
  const at = text.indexOf("\n## ") + 1;
  await writeFile(ledger, `${text.slice(0, at)}${section}\n\n${text.slice(at)}`);
}
