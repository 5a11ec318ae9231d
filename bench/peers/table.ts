import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Result } from "./duel.ts";

const ledger = path.join(import.meta.dirname, "../LEDGER.md");

const number = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));

/** As Markdown: the peer's time over ours, so that over 1 we are faster. */
export function ratioTable(results: readonly Result[]): string {
  const rows = results.map(({ title, dtype, outcome, note, load }) => {
    const cells = ["", "", "", ""];
    if (outcome) {
      const { ours, peer } = outcome;
      cells[0] = number(ours.seconds * 1e3);
      cells[1] = number(peer.seconds * 1e3);
      cells[2] = `**${(peer.seconds / ours.seconds).toFixed(2)}**`;
      cells[3] = `${ours.processors.toFixed(1)}, ${peer.processors.toFixed(1)}`;
    }
    const how = [outcome?.setting, note].filter(Boolean).join("; ");
    return [title, dtype, ...cells, how, load.toFixed(1)].join(" | ");
  });
  const head = [
    "work",
    "dtype",
    "ours, ms",
    "peer, ms",
    "peer / ours",
    "cpus",
    "the peer's best setting",
    "load",
  ];
  const lines = [head.join(" | "), "---|---|--:|--:|--:|--:|---|--:".replaceAll("|", " | "), ...rows];
  return lines.map((line) => `| ${line} |`).join("\n");
}

/** Puts a dated section before the older ones. */
export async function enterInLedger(section: string): Promise<void> {
  const text = await readFile(ledger, "utf8");
  const at = text.indexOf("\n## ") + 1;
  await writeFile(ledger, `${text.slice(0, at)}${section}\n\n${text.slice(at)}`);
}
