import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { tinyModel } from "./cli.ts";
import { tempDir } from "./temp_dir.ts";
import { someTexts, writeJsonl } from "./texts.ts";

const kCode = "const let function return class new import export if else for while of in async".split(" ");

/** Documents of a domain that has little in common with someTexts. */
const codeTexts = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, d) =>
    Array.from({ length: 20 + (d % 7) * 5 }, (_, i) => kCode[((d + from) * 5 + i * i) % kCode.length]).join(
      " ",
    ),
  );

/** A study of a few seconds, as options: two texts, a tiny model, short runs. */
export function tinyStudy(model: "llama" | "mixtral" = "llama") {
  const dir = tempDir();
  const write = (name: string, texts: string[]): string =>
    writeJsonl(
      path.join(dir, name),
      texts.map((text) => ({ text })),
    );
  return {
    model: tinyModel(model),
    data: write("new.jsonl", codeTexts(30)),
    newHeldOut: write("new_held_out.jsonl", codeTexts(6, 100)),
    oldHeldOut: write("old_held_out.jsonl", someTexts(6)),
    methods: ["full", "lora:4"],
    lr: [3e-3],
    steps: 8,
    points: 2,
    batchTokens: 256,
    threads: 1,
    device: "cpu",
    out: path.join(dir, "study"),
  };
}

/** The same as a YAML file. Returns its path. */
export function writeStudy({ out, ...settings }: ReturnType<typeof tinyStudy>): string {
  const file = path.join(path.dirname(out), "study.yaml");
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(settings));
  return file;
}

export interface Table {
  columns: string[];
  rows: string[][];
}

/** A CSV file whose fields hold no comma. */
export function readCsv(file: string): Table {
  const [columns = [], ...rows] = readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split(","));
  return { columns, rows };
}

/** Both tables of a study, without what the clock decides. */
export function numbersOf(out: string): unknown {
  const { columns, rows } = readCsv(path.join(out, "runs.csv"));
  const at = columns.indexOf("msPerToken");
  const without = (row: string[]): string[] => row.filter((_, i) => i !== at);
  return [without(columns), rows.map(without), readFileSync(path.join(out, "points.csv"), "utf8")];
}
