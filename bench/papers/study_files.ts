// What a script in bench/papers is given and what it writes.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { type Finding, findingsTable } from "./findings.ts";

/** `--out DIR` and `--seeds N` of a script. Throws an Error for a count that is none. */
export function studyArguments(
  name: string,
  args = process.argv.slice(2),
): { out: string; seeds: number | undefined } {
  const { values } = parseArgs({
    args,
    options: { out: { type: "string", default: `runs/${name}` }, seeds: { type: "string" } },
  });
  const seeds = values.seeds === undefined ? undefined : Number(values.seeds);
  if (seeds !== undefined && !(Number.isInteger(seeds) && seeds > 0))
    throw new Error(`--seeds is ${values.seeds}: a whole number above 0 was needed`);
  return { out: values.out, seeds };
}

/** A clock from now on: prints lines with the seconds before them. */
export function stopwatch(): { line: (text: string) => void; seconds: () => number } {
  const started = performance.now();
  const seconds = (): number => Math.round((performance.now() - started) / 1000);
  return { seconds, line: (text) => console.log(`${String(seconds()).padStart(5)} s  ${text}`) };
}

export interface StudyFiles {
  seconds: number;
  findings: readonly Finding[];
  /** Markdown above the findings. */
  tables: readonly string[];
  /** SVG by file name. */
  charts: Readonly<Record<string, string>>;
  result: object;
}

/** Writes findings.md, results.json and the charts to `out`, and prints the findings. */
export async function writeStudy(
  out: string,
  { seconds, findings, tables, charts, result }: StudyFiles,
): Promise<void> {
  const text = [...tables, findingsTable(findings), `${seconds} s.`].join("\n\n");
  const files = {
    ...charts,
    "findings.md": `${text}\n`,
    "results.json": `${JSON.stringify({ seconds, findings, ...result }, undefined, 1)}\n`,
  };
  await mkdir(out, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(out, name), content);
  console.log(
    `\n${text}\n\n${Object.keys(files)
      .map((name) => path.join(out, name))
      .join("\n")}`,
  );
}
