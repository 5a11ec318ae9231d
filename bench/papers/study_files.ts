// What a script in bench/papers is given and what it writes.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { type Finding, findingsTable } from "./findings.ts";

/** What a script may be given: `--out DIR --seeds N --threads N`. */
export interface StudyArguments {
  out: string;
  seeds: number | undefined;
  /** For `device`. The results are the same on any number of threads. */
  on: { threads?: number };
}

/** Throws an Error for a count that is none. */
export function studyArguments(name: string, args = process.argv.slice(2)): StudyArguments {
  const { values } = parseArgs({
    args,
    options: {
      out: { type: "string", default: `runs/${name}` },
      seeds: { type: "string" },
      threads: { type: "string" },
    },
  });
  const count = (key: "seeds" | "threads"): number | undefined => {
    const given = values[key] === undefined ? undefined : Number(values[key]);
    if (given !== undefined && !(Number.isInteger(given) && given > 0))
      throw new Error(`--${key} is ${values[key]}: a whole number above 0 was needed`);
    return given;
  };
  const threads = count("threads");
  return { out: values.out, seeds: count("seeds"), on: threads === undefined ? {} : { threads } };
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
