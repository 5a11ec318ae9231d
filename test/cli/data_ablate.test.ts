import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { mixwright, objectsIn, works } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeJsonl } from "../support/texts.ts";

const nouns = "fox dog hill river house stone garden letter window table road tree".split(" ");
const verbs = "sees likes finds follows leaves paints".split(" ");
const pick = (list: readonly string[], n: number): string =>
  list[(Math.imul(n, 2654435761) >>> 8) % list.length]!;
const sentence = (n: number): string =>
  `The ${pick(nouns, n)} ${pick(verbs, 7 * n + 1)} the ${pick(nouns, 11 * n + 2)} and that of the ${pick(nouns, 13 * n + 5)}.`;
/** Pages of sentences; every third is a menu, which FineWeb's rules drop. */
const page = (n: number): string =>
  n % 3 === 2
    ? Array.from({ length: 60 }, (_, i) => `| ${pick(nouns, n + i)} > ${pick(nouns, n * i)}`).join("\n")
    : Array.from({ length: 12 }, (_, i) => sentence(n * 12 + i)).join("\n");

/** A file for the command, of 90 pages in two files, and held-out ones. */
function ablationFile(dir: string, more: object = {}): string {
  const rows = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ text: page(from + i) }));
  writeJsonl(path.join(dir, "in/0.jsonl"), rows(0, 45));
  writeJsonl(path.join(dir, "in/1.jsonl"), [...rows(45, 45), ...rows(0, 6)]);
  const held = Array.from({ length: 12 }, (_, i) => ({ text: page(300 + 3 * i) }));
  const file = path.join(dir, "ablation.yaml");
  const settings = {
    steps: [
      { "read.jsonl": { files: path.join(dir, "in") } },
      "filter.gopherQuality",
      { "filter.fineweb": { newLineRatio: null } },
      "format.pii",
    ],
    out: path.join(dir, "out"),
    "vocab-size": 320,
    model: {
      model_type: "llama",
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      max_position_embeddings: 128,
    },
    "held-out": { sentences: writeJsonl(path.join(dir, "held.jsonl"), held) },
    "batch-tokens": 256,
    points: 2,
    lr: 5e-3,
    threads: 1,
    workers: 2,
    device: "cpu",
    ...more,
  };
  writeFileSync(file, stringify(settings));
  return file;
}

type Result = {
  variant: string;
  seed: number;
  points: { step: number; bitsPerByte: Record<string, number> }[];
};

test("data ablate: from files to a report, and again without work", { timeout: 180_000 }, async () => {
  const dir = tempDir();
  const file = ablationFile(dir, {
    variants: { raw: { only: [] }, filtered: {}, unique: { dedup: "global" } },
  });
  const lines = objectsIn(await works(["data", "ablate", file, "--json"]));
  const { texts } = lines.find((line) => "texts" in line) as {
    texts: Record<string, { read: number; kept: number; duplicates: number; files: string[] }>;
  };
  expect(texts.raw).toMatchObject({ read: 96, kept: 96, duplicates: 0 });
  expect(texts.filtered!.kept).toBe(64);
  expect(texts.unique).toMatchObject({ kept: 60, duplicates: 4 });
  const results = lines.filter((line) => "points" in line) as unknown as Result[];
  expect(results.map(({ variant, seed }) => `${variant} ${seed}`)).toEqual(
    ["raw", "filtered", "unique"].flatMap((name) => [`${name} 0`, `${name} 1`]),
  );
  const ends = (name: string): number[] =>
    results
      .filter(({ variant }) => variant === name)
      .map(({ points }) => points.at(-1)!.bitsPerByte.sentences!);
  expect(Math.max(...ends("filtered"))).toBeLessThan(Math.min(...ends("raw")));
  expect(readFileSync(path.join(dir, "out/ablation/report.html"), "utf8")).toContain("6 of 6");

  expect((await mixwright(["data", "ablate", file])).stderr).toContain("holds an earlier ablation");
  const again = objectsIn(await works(["data", "ablate", file, "--json", "--resume"]));
  expect(again.filter((line) => "points" in line)).toEqual(results);
  const text = await works(["data", "ablate", "--config", file, "--resume"]);
  expect(text).toMatch(/unique +60 of 96 documents \(62\.5 %\), 4 near-duplicates removed\n/);
  expect(text).toMatch(
    /\nfiltered, seed 1: sentences \d\.\d{4} bits a byte\n[\s\S]*report in .*report\.html\n$/,
  );
  const other = await mixwright(["data", "ablate", file, "--resume", "--vocab-size", "300"]);
  expect(other.stderr).toContain("vocabSize is 300, the tokenizer in");
});

test("data ablate: Ctrl-C ends it, and --resume ends with the same numbers", {
  timeout: 180_000,
}, async () => {
  const dir = tempDir();
  const file = ablationFile(dir);
  const stopped = await mixwright(["data", "ablate", file], {
    onLine: (line, child) => {
      if (line.startsWith("all, seed 0")) child.kill("SIGINT");
    },
  });
  expect([stopped.code, stopped.signal]).toEqual([130, null]);
  expect(stopped.stderr).toMatch(
    /Stopped\. Go on: .* data ablate .*ablation\.yaml --resume, with the same flags\n$/,
  );
  expect(existsSync(path.join(dir, "out/ablation/report.html"))).toBe(false);
  const resumed = objectsIn(await works(["data", "ablate", file, "--resume", "--json"]));
  const whole = objectsIn(await works(["data", "ablate", file, "--json", "--out", path.join(dir, "other")]));
  const results = (lines: object[]) => lines.filter((line) => "points" in line);
  expect(results(resumed)).toEqual(results(whole));
  expect(results(whole)).toHaveLength(2 * 4);
});

test("data ablate: what can't run is said before anything is made", { timeout: 180_000 }, async () => {
  const dir = tempDir();
  const refusal = async (more: object, ...flags: string[]) =>
    (await mixwright(["data", "ablate", ablationFile(dir, more), ...flags])).stderr;
  expect(await refusal({ "held-outs": {} })).toContain('unknown key "held-outs", is it held-out?');
  expect(await refusal({ variants: { v: { whitout: [] } } })).toContain(
    'unknown option "whitout", is it without?',
  );
  expect(await refusal({ steps: ["read.jsonl", "filter.c5"] })).toMatch(/:2: read\.jsonl: files is missing/);
  const reader = { "read.jsonl": { files: path.join(dir, "in") } };
  expect(await refusal({ steps: [reader, "filter.c5"] })).toMatch(
    /unknown step "filter\.c5", is it filter\.c4\?/,
  );
  expect(await refusal({ "held-out": { x: path.join(dir, "no.jsonl") } })).toContain("no.jsonl");
  expect(await refusal({ model: undefined })).toContain(
    "the key model of the config file needed and not given",
  );
  expect(await refusal({}, "--points", "0")).toContain("--points is 0, at least 1 was needed");
  expect((await mixwright(["data", "ablate"])).stderr).toContain("--config");
  expect(existsSync(path.join(dir, "out"))).toBe(false);
});
