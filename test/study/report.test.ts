import path from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { renderReport, writeReport } from "../../lib/report/page.ts";
import { expandGrid } from "../../lib/study/grid.ts";
import { studyReport } from "../../lib/study/report.ts";
import { type BaseResult, kindOf, type StudyResult } from "../../lib/study/results.ts";
import { pointRows, runRows } from "../../lib/study/rows.ts";
import { settingsOf } from "../../lib/study/settings.ts";
import { driftCorrelation, paretoFront, summarize } from "../../lib/study/summary.ts";
import { whyNoBrowser, withPage } from "../support/browser.ts";
import { tempDir } from "../support/temp_dir.ts";

const why = whyNoBrowser();
if (why !== undefined) console.warn(`Skipping the report of a study in a browser: ${why}.`);

const settings = settingsOf({
  model: "m",
  data: "d",
  newHeldOut: "n",
  oldHeldOut: "o",
  methods: ["full", "lora:4", "dora:4:attention"],
  lr: [1e-4, 1e-3, 1e-2],
  seeds: [0, 1],
  steps: 100,
  points: 2,
  out: "s",
});
const base: BaseResult = {
  choice: { loss: 4, bitsPerByte: 2 },
  new: { loss: 4, bitsPerByte: 2 },
  old: { loss: 2, bitsPerByte: 1 },
  sha256: "",
};

/** As if a method learned by its number and the learning rate; the highest rate fails for full training. */
function fakeResults(): StudyResult[] {
  return expandGrid(settings).map((run, i): StudyResult => {
    const strength =
      { full: 1, lora: 0.6, dora: 0.7 }[run.method.name] * (run.lr === 1e-3 ? 1 : 0.5) + run.seed * 0.01;
    const points = [50, 100].map((step) => {
      const learned = (strength * step) / 100;
      return {
        step,
        tokens: step * 4096,
        choice: { loss: 4.5 - learned, bitsPerByte: 3 },
        new: { loss: 4 - learned, bitsPerByte: (4 - learned) / 2 },
        old: { loss: 2 + learned ** 2, bitsPerByte: (2 + learned ** 2) / 2 },
        drift: [1, 2, 3].map((k) => ({
          module: `model.layers.${k}.self_attn.q_proj`,
          kind: "attention" as const,
          magnitude: 0.01 * k * (run.method.name === "full" ? -1 : 1) + 0.05,
          direction: 0.001 * k,
        })),
        ranks: [{ module: "model.layers.0.self_attn.q_proj", kind: "attention" as const, rank: 3, of: 64 }],
        unranked: 1,
        msPerToken: 0.01,
        peakBytes: 1e6 * (i + 1),
      };
    });
    if (run.method.name === "full" && run.lr === 1e-2) {
      const reason = 'the loss is "NaN", at step 3';
      return { run, status: "failed", reason, parameters: 100, points: [] };
    }
    return { run, status: "done", parameters: 100, points };
  });
}

test("the best learning rate is that of the lowest loss, failures passed over", () => {
  const [full, lora, dora] = summarize(fakeResults());
  expect([full, lora, dora].map((s) => [s!.method.label, s!.best!.lr, s!.atEdge])).toEqual([
    ["full", 1e-3, false],
    ["lora-r4-all", 1e-3, false],
    ["dora-r4-attention", 1e-3, false],
  ]);
  expect(full!.rates.map(({ failed }) => failed)).toEqual([0, 0, 2]);
  const failing = fakeResults().filter(({ run }) => run.method.name === "full" && run.lr === 1e-2);
  expect(summarize(failing)[0]!.best).toBeUndefined();
  const few = fakeResults().filter(({ run }) => run.lr !== 1e-2);
  expect(summarize(few)[1]!.atEdge).toBe(true);
});

test("a learning rate isn't chosen by the text that is reported", () => {
  const all = fakeResults().filter(({ run }) => run.method.name === "lora");
  for (const { run, points } of all) for (const point of points) point.choice.loss = run.lr;
  const [lora] = summarize(all);
  expect(lora!.best!.lr).toBe(1e-4);
  expect(lora!.best!.loss).toBeCloseTo(4 - 0.305, 9);
  expect(lora!.rates[1]!.loss).toBeLessThan(lora!.best!.loss!);
});

test("the Pareto front", () => {
  const all = [
    { learned: 1, forgotten: 0.5 },
    { learned: 0.9, forgotten: 0.6 }, // worse on both sides
    { learned: 0.5, forgotten: 0.1 },
    { learned: 0.5, forgotten: 0.2 }, // as much learned, more forgotten
    { learned: 1.2, forgotten: 2 },
  ];
  expect(paretoFront(all)).toEqual([all[2], all[0], all[4]]);
});

test("correlation of magnitude and direction, by method", () => {
  const of = (name: string) => fakeResults().filter((r) => r.run.method.name === name && r.status === "done");
  expect(driftCorrelation(of("lora"))).toBeCloseTo(1, 9);
  expect(driftCorrelation(of("full"), "attention")).toBeCloseTo(-1, 9);
  expect(driftCorrelation(of("full"), "experts")).toBeNaN();
});

test("kinds of layers", () => {
  const kinds = [
    "model.layers.0.self_attn.q_proj",
    "model.layers.1.block_sparse_moe.experts.3.w1",
    "lm_head",
  ];
  expect(kinds.map(kindOf)).toEqual(["attention", "experts", "head"]);
  expect(["mlp.gate_proj", "mlp.shared_expert.up_proj"].map((m) => kindOf(`model.layers.0.${m}`))).toEqual([
    "mlp",
    "mlp",
  ]);
});

test("tables quote what needs it, and leave empty what is not there", () => {
  const rows = runRows(fakeResults(), base, settings).split("\n");
  expect(rows[0]).toMatch(/,peakBytes,reason,rank90_attention,msPerToken$/);
  const failed = rows.find((row) => row.startsWith("full-lr0.01-s0"))!;
  expect(failed).toBe(
    'full-lr0.01-s0,failed,full,,,,0.01,0,0,0,100,,,,,,,,,"the loss is ""NaN"", at step 3",,',
  );
  expect(pointRows(fakeResults(), base).trimEnd().split("\n")).toHaveLength(1 + 2 * (18 - 2));
});

test("the report has it all, also where nothing finished", async () => {
  const page = await renderReport(studyReport("s", settings, base, fakeResults(), 20));
  expect(page).toContain("18 matrices with more than 256 rows".replace("18", "6"));
  for (const title of [
    "Learning against forgetting",
    "The way there",
    "Rank of the change",
    "Memory and time",
  ])
    expect(page).toContain(title);
  expect(page).toContain("16 of 20");
  const failed = fakeResults().filter(({ status }) => status === "failed");
  expect(await renderReport(studyReport("s", settings, base, failed, 2))).toContain("none finished");
  expect(await renderReport(studyReport("s", settings, base, [], 2))).toContain("0 of 2");
});

test.skipIf(why !== undefined)("the report of a study in a browser", async () => {
  const file = path.join(tempDir(), "report.html");
  await writeReport(file, studyReport("s", settings, base, fakeResults(), 18));
  await withPage(async (page) => {
    const trouble: string[] = [];
    page.on("console", (m: { text(): string }) => void trouble.push(m.text()));
    page.on("pageerror", (e: Error) => void trouble.push(e.message));
    await page.goto(pathToFileURL(file).href);
    for (const width of [400, 1400]) {
      await page.setViewportSize({ width, height: 900 });
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    }
    const colours = await page.evaluate<string[]>(
      `[...document.querySelectorAll("#section-1 .mark")].map((mark) => getComputedStyle(mark).fill)`,
    );
    expect(new Set(colours).size).toBe(3);
    expect(await page.evaluate(`document.querySelectorAll("#section-1 svg[role=img] .mark").length`)).toBe(
      16,
    );
    expect(await page.evaluate(`document.querySelectorAll(".chart canvas").length`)).toBe(2);
    expect(trouble).toEqual([]);
  });
});
