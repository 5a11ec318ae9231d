/** Writes lib/ops/README.md, the table of all ops, from their specs: `npm run docs:ops`. */
import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { OpSpec } from "../lib/ops/spec.ts";

const folder = path.resolve(import.meta.dirname, "../lib/ops");
export const tableFile = path.join(folder, "README.md");

const isSpec = (value: unknown): value is OpSpec =>
  typeof value === "object" && value !== null && "kernels" in value && "math" in value;

async function specsOf(file: string): Promise<OpSpec[]> {
  const exports = (await import(path.join(folder, file))) as Record<string, unknown>;
  return Object.values(exports)
    .filter(isSpec)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

// A bar would end the cell.
const cell = (text: string): string => text.replaceAll("|", "\\|");
const power = (x: number): string => (x === 0 ? "0" : x.toExponential());
const operands = (of: Readonly<Record<string, string>>): string =>
  Object.entries(of)
    .map(([name, text]) => `\`${name} ${text}\``)
    .join("<br>");

function row(file: string, spec: OpSpec): string {
  const { f32, bf16 } = spec.tolerance;
  const cells = [
    `[\`${spec.name}\`](${file})`,
    spec.math + (spec.source ? `<br>*${spec.source}*` : ""),
    operands(spec.inputs),
    operands(spec.outputs),
    `${power(f32)}, ${power(bf16)}`,
    spec.kernels.map((kernel) => `\`${kernel}\``).join("<br>"),
  ];
  return `| ${cells.map(cell).join(" | ")} |`;
}

/** The text of lib/ops/README.md as the specs have it now. */
export async function opsTable(): Promise<string> {
  const rows: string[] = [];
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith(".ts")) continue;
    for (const spec of await specsOf(file)) rows.push(row(file, spec));
  }
  return `<!-- Generated from the specs in this folder by \`npm run docs:ops\`. -->
# Ops

One file an op: its spec, its checks, the forward and the gradient. An operand is \`name [axes] dtype\`: axes are bound at
first use, \`...T\` is the product of all leading axes, \`float\` is f32 or bf16, \`?\` may be left out. Tolerance is the
largest error against float64, f32 then bf16, relative to the largest value of the output. Kernels are rows of
[table.h](../../native/ops/table.h); [native/README.md](../../native/README.md) says how to add one.

| op | math | inputs | outputs | tolerance | kernels |
| --- | --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) writeFileSync(tableFile, await opsTable());
