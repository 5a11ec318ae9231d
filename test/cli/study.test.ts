import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { mixwright, objectsIn, works } from "../support/cli.ts";
import { numbersOf, readCsv, tinyStudy, writeStudy } from "../support/tiny_study.ts";

describe("study", () => {
  it("prints a row a run, and two runs at a time give the same tables", { timeout: 120_000 }, async () => {
    const study = tinyStudy();
    const methods = ["full", { method: "lora", rank: 2, targets: ["attention", "mlp"], lr: 1e-2 }];
    const config = writeStudy({ ...study, methods, points: [2] } as never);
    const rows = objectsIn(
      await works(["study", "--config", config, "--out", study.out, "--save", "--json"]),
    );
    expect(rows.map(({ run }) => run)).toEqual([
      "full-lr0.003-s0",
      "lora-r2-attention-lr0.01-s0",
      "lora-r2-mlp-lr0.01-s0",
    ]);
    const [full, attention] = rows;
    expect(full).toMatchObject({ status: "done", method: "full", step: 8, tokens: 2048 });
    expect(full!.parameters).toBeGreaterThan(attention!.parameters as number);
    for (const { learned, newBitsPerByte, peakBytes, msPerToken } of rows)
      for (const value of [learned, newBitsPerByte, peakBytes, msPerToken]) expect(value).toBeGreaterThan(0);
    for (const file of [
      "full-lr0.003-s0/model",
      "lora-r2-mlp-lr0.01-s0/adapter",
      "full-lr0.003-s0/metrics.jsonl",
    ])
      expect(existsSync(path.join(study.out, "runs", file)), file).toBe(true);
    const two = `${study.out}2`;
    const text = await works(["study", "--config", config, "--out", two, "--parallel", "2"]);
    expect(text).toMatch(/^1\/3 \S+: new [\d.]+, learned [\d.]+ · old /);
    expect(text).toContain(`report in ${path.join(two, "report.html")}\n`);
    expect(numbersOf(two)).toEqual(numbersOf(study.out));
    const { columns, rows: points } = readCsv(path.join(study.out, "points.csv"));
    const steps = points.map((row) => row[columns.indexOf("step")]);
    expect(steps).toEqual(["2", "8", "2", "8", "2", "8"]);
    const choice = points.map((row) => row[columns.indexOf("choiceLoss")]);
    expect(new Set([...choice, ...points.map((row) => row[columns.indexOf("newLoss")])]).size).toBe(12);
  });

  it("runs no more at a time than memory has room for, and says so", { timeout: 120_000 }, async () => {
    const study = { ...tinyStudy(), methods: ["lora:2", "full", "lora:4"], steps: 3, points: 1 };
    const config = writeStudy(study);
    const args = ["study", "--config", config, "--parallel", "3", "--json"];
    const outOf = (name: string, ...more: string[]) => [...args, "--out", study.out + name, ...more];
    const tight = await mixwright(outOf("1", "--memory-bytes", "1000000"));
    expect(tight.stderr).toMatch(
      /^study: 1 at a time instead of 3: full-lr0\.003-s0 takes about \d+ MB, all runs together may take 1 MB\n$/,
    );
    expect(tight.code).toBe(0);
    const wide = await mixwright(outOf("2", "--memory-bytes", String(1e13)));
    expect([wide.stderr, wide.code]).toEqual(["", 0]);
    const names = (text: string) => objectsIn(text).map(({ run }) => run);
    expect(names(tight.stdout)).toEqual([
      "lora-r2-all-lr0.003-s0",
      "full-lr0.003-s0",
      "lora-r4-all-lr0.003-s0",
    ]);
    expect(numbersOf(`${study.out}2`)).toEqual(numbersOf(`${study.out}1`));
  });

  it("more methods are added to a study by resuming it", { timeout: 120_000 }, async () => {
    const study = { ...tinyStudy(), methods: ["lora:2"], steps: 2, points: 1 };
    const config = writeStudy(study);
    await works(["study", "--config", config, "--out", study.out]);
    const more = [
      "study",
      "--resume",
      "--out",
      study.out,
      "--methods",
      "lora:2",
      "dora:2",
      "--lr",
      "0.003",
      "1e-4",
    ];
    const rows = objectsIn(await works([...more, "--json"]));
    expect(rows.map(({ run }) => run)).toEqual([
      "lora-r2-all-lr0.003-s0",
      "lora-r2-all-lr0.0001-s0",
      "dora-r2-all-lr0.003-s0",
      "dora-r2-all-lr0.0001-s0",
    ]);
    const page = readFileSync(path.join(study.out, "report.html"), "utf8");
    expect(page).toContain("4 of 4");
  });

  const refused: [why: string, change: object, message: RegExp, code: number][] = [
    ["an unknown key", { "new-heldout": "x" }, /unknown key "new-heldout", is it new-held-out\?/, 2],
    [
      "an unknown key of a method",
      { methods: [{ method: "lora", ranks: 1 }] },
      /methods\[0\]: unknown option "ranks", is it rank\?/,
      2,
    ],
    [
      "a bad value within a method",
      { methods: ["full", { method: "lora", "modules-to-save": "norm" }] },
      /methods\[1\]\.modulesToSave has "norm", lists of names were needed/,
      2,
    ],
    [
      "an unknown method",
      { methods: ["lorra:4"] },
      /methods\[0\]\.method: unknown option "lorra", is it lora\?/,
      2,
    ],
    ["a number that is none", { lr: ["fast"] }, /study.yaml: lr\[0\] is "fast", a number was needed/, 2],
    ["methods that are none", { methods: 3 }, /study.yaml: methods\[0\] is 3, a text was needed/, 2],
    ["more points than steps", { points: 9 }, /points is 9, at most the 8 steps/, 2],
  ];
  it.each(refused)("refuses %s in one line, before anything starts", async (_, change, message, code) => {
    const study = tinyStudy();
    const config = writeStudy(study);
    writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), ...change }));
    const outcome = await mixwright(["study", "--config", config, "--out", study.out]);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(outcome.code).toBe(code);
    expect(existsSync(study.out)).toBe(false);
  });
});
