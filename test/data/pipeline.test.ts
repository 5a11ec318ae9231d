import { appendFileSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ConfigError, PipelineError } from "../../lib/core/errors.ts";
import { type PipelineReport, pipeline, type RunOptions } from "../../lib/data/pipeline.ts";
import * as read from "../../lib/data/readers/index.ts";
import { filterStep, type Step } from "../../lib/data/step.ts";
import { module } from "../../lib/data/steps/module.ts";
import * as write from "../../lib/data/writers/index.ts";
import { folderBytes, gzRows, someDocuments, writeDocuments } from "../support/documents.ts";
import { judgeFile } from "../support/judge_step.ts";
import { tempDir } from "../support/temp_dir.ts";

const error = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => expect.fail("it went through"),
    (thrown: Error) => thrown,
  );

/** Runs the judge over five files of 40 documents, below one folder. */
function judged(dir: string, options: RunOptions & { name?: string; judge?: object } = {}) {
  const { name = "a", judge = {}, ...rest } = options;
  const files = existsSync(path.join(dir, "in"))
    ? path.join(dir, "in/*.jsonl")
    : writeDocuments(path.join(dir, "in"), 5, 40);
  const out = path.join(dir, name);
  const steps = [
    read.jsonl(files),
    module(judgeFile, { ...judge }),
    write.jsonl(path.join(out, "kept")),
  ] as const;
  const state = path.join(out, "state");
  const run = pipeline([...steps]).run({ rejected: path.join(out, "rejected"), state, ...rest });
  return { out, run };
}

const all = Array.from({ length: 5 }, (_, f) => someDocuments(f, 40)).flat();
const verdict = (text: string) =>
  text.length % 3 === 0 ? "thirds" : text.length % 7 === 0 ? "7/7, or so" : "kept";
const wanted = (word: string) => all.filter(({ text }) => verdict(text) === word).map(({ id }) => id);
const plain = ({ read, kept, dropped, bytes }: PipelineReport) => ({ read, kept, dropped, bytes });

test("every document is kept or dropped, counted by reason and step, and found in its file", async () => {
  const { out, run } = judged(tempDir(), { tasks: 2 });
  const report = await run;
  const [thirds, sevenths, kept] = ["thirds", "7/7, or so", "kept"].map((word) => wanted(word));
  expect(thirds!.length * sevenths!.length * kept!.length).toBeGreaterThan(0);
  const dropped = { "7/7, or so": sevenths!.length, thirds: thirds!.length };
  expect(plain(report)).toEqual({
    read: 200,
    kept: kept!.length,
    dropped,
    bytes: all.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
  });
  expect(report.steps).toMatchObject({
    "read.jsonl": { in: 200, out: 200, dropped: {} },
    "step.module": { in: 200, out: kept!.length, dropped },
    "write.jsonl": { in: kept!.length, out: kept!.length, dropped: {} },
  });
  expect(report.tasks).toEqual({ total: 2, run: 2, skipped: 0, elsewhere: 0 });

  // Task t reads files t, t + 2, …
  const rows = gzRows(path.join(out, "kept"));
  expect(Object.keys(rows)).toEqual(["00000.jsonl.gz", "00001.jsonl.gz"]);
  const filesOf = (name: string) => [...new Set(rows[name]!.map(({ id }) => id.split("-")[0]))];
  expect([filesOf("00000.jsonl.gz"), filesOf("00001.jsonl.gz")]).toEqual([
    ["0", "2", "4"],
    ["1", "3"],
  ]);
  expect(
    Object.values(rows)
      .flatMap((file) => file.map(({ id }) => id))
      .sort(),
  ).toEqual(kept!.sort());

  const rejected = gzRows(path.join(out, "rejected"));
  const reasons = { thirds: "thirds", "7_7_or_so": "7/7, or so" };
  for (const [folder, reason] of Object.entries(reasons)) {
    const found = [0, 1].flatMap((t) => rejected[`step.module/${folder}/0000${t}.jsonl.gz`]!);
    expect(found.map(({ id }) => id).sort()).toEqual(wanted(reason).sort());
    expect(new Set(found.map(({ metadata }) => metadata.filter_reason))).toEqual(new Set([reason]));
  }
});

test("a rerun skips all tasks, says the same, and changes no byte", async () => {
  const dir = tempDir();
  const first = await judged(dir).run;
  const before = folderBytes(path.join(dir, "a"));
  const again = await judged(dir).run;
  expect(again.tasks).toEqual({ total: 5, run: 0, skipped: 5, elsewhere: 0 });
  expect({ ...again, tasks: 0, seconds: 0 }).toEqual({ ...first, tasks: 0, seconds: 0 });
  expect(folderBytes(path.join(dir, "a"))).toEqual(before);
});

test("three threads write the bytes that one does", async () => {
  const dir = tempDir();
  const one = await judged(dir, { name: "one" }).run;
  const three = await judged(dir, { name: "three", workers: 3 }).run;
  expect(plain(three)).toEqual(plain(one));
  for (const folder of ["kept", "rejected"])
    expect(folderBytes(path.join(dir, "three", folder))).toEqual(folderBytes(path.join(dir, "one", folder)));
});

test("processes that share the tasks do each of them once", async () => {
  const dir = tempDir();
  const whole = await judged(dir, { name: "whole" }).run;
  const parts: PipelineReport[] = [];
  for (const rank of [0, 1, 2]) parts.push(await judged(dir, { share: { rank, of: 3 } }).run);
  expect(parts.map(({ tasks }) => [tasks.run, tasks.elsewhere])).toEqual([
    [2, 3],
    [2, 3],
    [1, 4],
  ]);
  expect(parts.reduce((sum, { kept }) => sum + kept, 0)).toBe(whole.kept);
  expect(folderBytes(path.join(dir, "a/kept"))).toEqual(folderBytes(path.join(dir, "whole/kept")));
});

test.each([1, 2])(
  "a step that throws fails its task alone, and a rerun goes on (workers %i)",
  async (workers) => {
    const dir = tempDir();
    const { out, run } = judged(dir, { judge: { throwAt: "3-30" }, workers });
    const thrown = await error(run);
    expect(thrown).toBeInstanceOf(PipelineError);
    expect(thrown.message).toBe(
      `pipeline: 1 of 5 tasks failed: task 3, step.module (document 3-30, file ${path.join(dir, "in/3.jsonl")}): no judgement. A rerun with the same state does these tasks again.`,
    );
    expect((thrown as PipelineError).failures).toHaveLength(1);
    expect(readdirSync(path.join(out, "kept"))).toEqual([0, 1, 2, 4].map((t) => `0000${t}.jsonl.gz`));
    expect(
      Object.keys(folderBytes(path.join(out, "rejected"))).filter((name) => name.includes("00003")),
    ).toEqual([]);
    expect(readdirSync(path.join(out, "state/unfinished"))).toEqual([]);
    const again = await error(judged(dir, { judge: { throwAt: "3-30" }, workers }).run);
    expect(again.message).toContain("pipeline: 1 of 1 tasks failed: task 3");
  },
);

test("a thread that ends fails its task, and the others go through on new ones", async () => {
  const { out, run } = judged(tempDir(), { judge: { exitAt: "1-5" }, workers: 2 });
  const { failures } = (await error(run)) as PipelineError;
  expect(failures).toEqual([{ task: 1, step: "worker", message: "its thread ended with code 7" }]);
  expect(readdirSync(path.join(out, "kept"))).toEqual([0, 2, 3, 4].map((t) => `0000${t}.jsonl.gz`));
});

test.each([1, 2])(
  "a run that is stopped leaves no part of a task, and goes on later (workers %i)",
  async (workers) => {
    const dir = tempDir();
    const whole = judged(dir, { name: "whole" });
    await whole.run;
    const controller = new AbortController();
    const onProgress: RunOptions["onProgress"] = ({ done }) => {
      if (done === 2) controller.abort(new Error("enough"));
    };
    const { out, run } = judged(dir, { signal: controller.signal, onProgress, workers });
    expect((await error(run)).message).toBe("enough");
    const through = readdirSync(path.join(out, "state/completions")).map((name) => name.slice(0, 5));
    expect(readdirSync(path.join(out, "kept")).map((name) => name.slice(0, 5))).toEqual(through);
    const after = await judged(dir, { workers }).run;
    expect(after.tasks.skipped).toBe(through.length);
    for (const folder of ["kept", "rejected"])
      expect(folderBytes(path.join(out, folder))).toEqual(folderBytes(path.join(whole.out, folder)));
  },
);

test("a document that is neither handed on nor dropped fails the task", async () => {
  const files = writeDocuments(tempDir(), 1, 3);
  const loses: Step = {
    description: { step: "loses", options: {} },
    async *run(documents) {
      for await (const document of documents) if (document.id !== "0-1") yield document;
    },
  };
  expect((await error(pipeline([read.jsonl(files), loses]).run())).message).toBe(
    `pipeline: 1 of 1 tasks failed: task 0, loses (file ${files.replace("*", "0")}): took 3 documents, handed on 2 and dropped 0; these two together were needed to be as many. Drop by context.drop.`,
  );
});

test("a step may stand twice; each is counted by itself", async () => {
  const files = writeDocuments(tempDir(), 1, 10);
  const without = (n: number) =>
    filterStep("without", { n }, ({ id }) =>
      id === `0-${n}` ? { keep: false, reason: "it" } : { keep: true },
    );
  const report = await pipeline([read.jsonl(files), without(2), without(3)]).run();
  expect(report.dropped).toEqual({ it: 2 });
  expect(report.steps).toMatchObject({ without: { in: 10, out: 9 }, "without#2": { in: 9, out: 8 } });
});

test("a state of another pipeline is refused, with the difference", async () => {
  const dir = tempDir();
  await judged(dir).run;
  const state = path.join(dir, "a/state");
  const refusal = async (run: Promise<unknown>) => {
    const thrown = await error(run);
    expect(thrown).toBeInstanceOf(ConfigError);
    expect(thrown.message).toContain(`pipeline: state ${state} is of another pipeline: `);
    return thrown.message;
  };
  expect(await refusal(judged(dir, { judge: { throwAt: "9" } }).run)).toContain(
    `step 2 was step.module {"file":"${judgeFile}"}, now it is step.module {"file":"${judgeFile}","throwAt":"9"}`,
  );
  expect(await refusal(judged(dir, { tasks: 2 }).run)).toContain("tasks was 5, now it is 2");
  expect(await refusal(judged(dir, { rejected: path.join(dir, "r") }).run)).toContain("rejected was ");
  appendFileSync(path.join(dir, "in/2.jsonl"), "\n");
  expect(await refusal(judged(dir).run)).toContain("the input files have other names or sizes");
  writeFileSync(path.join(dir, "in/9.jsonl"), "\n");
  expect(await refusal(judged(dir, { tasks: 5 }).run)).toContain("files was 5, now it is 6");
});

test("a run with fewer tasks than before is refused while the outputs of those lie there", async () => {
  const dir = tempDir();
  await judged(dir, { tasks: 5 }).run;
  const again = await error(judged(dir, { tasks: 2, state: path.join(dir, "other") }).run);
  expect(again).toBeInstanceOf(ConfigError);
  expect(again.message).toMatch(
    /kept\/0000[2-4]\.jsonl\.gz is of an earlier run with more tasks than these 2/,
  );
});

test("an output among the inputs is refused, and so is what is no verdict or no document", async () => {
  const dir = tempDir();
  const files = writeDocuments(path.join(dir, "in"), 2, 5);
  const run = (...steps: Step[]) => error(pipeline([read.jsonl(files), ...steps]).run());
  const before = folderBytes(path.join(dir, "in"));
  expect((await run(write.jsonl(path.join(dir, "in"), { compression: "none" }))).message).toMatch(
    /is read and lies in .*in, which is written to/,
  );
  expect(folderBytes(path.join(dir, "in"))).toEqual(before);
  for (const odd of [undefined, true, { keep: true, text: 5 }, { keep: false }, { keep: false, reason: "" }])
    expect((await run(filterStep("odd", {}, () => odd as never))).message).toMatch(/odd.*was needed/);
  const lost = {
    description: { step: "lost", options: {} },
    async *run(documents: AsyncIterable<object>) {
      for await (const document of documents) yield { ...document, text: undefined } as never;
    },
  };
  const nothing = {
    ...lost,
    async *run(documents: AsyncIterable<object>) {
      for await (const _ of documents) yield undefined as never;
    },
  };
  expect((await run(nothing)).message).toMatch(/lost .*handed on undefined, a document/);
  expect((await run(lost)).message).toMatch(/lost .*a document \{ id, text, metadata \} was needed/);
  expect(() => filterStep("odd", {}, undefined as never)).toThrow(/a function was needed/);
});

test("a full part of an output is closed: files don't pile up", async () => {
  const dir = tempDir();
  const files = writeDocuments(path.join(dir, "in"), 1, 400);
  const parts = write.jsonl(path.join(dir, "out"), { maxBytesPerFile: 1, compression: "none" });
  let open = 0;
  const watch = filterStep("watch", {}, () => {
    open = Math.max(open, readdirSync("/proc/self/fd").length);
    return { keep: true };
  });
  const before = readdirSync("/proc/self/fd").length;
  await pipeline([read.jsonl(files), watch, parts]).run();
  expect(readdirSync(path.join(dir, "out"))).toHaveLength(400);
  expect(open - before).toBeLessThan(40);
});

test("what can't run is refused before anything is written", async () => {
  const dir = tempDir();
  const reader = read.jsonl(writeDocuments(dir, 2, 2));
  const own = filterStep("mine", {}, () => ({ keep: true }));
  const refusal = async (run: () => Promise<unknown>) => {
    const thrown = await error((async () => run())());
    expect(thrown).toBeInstanceOf(ConfigError);
    return thrown.message;
  };
  expect(await refusal(() => pipeline([reader, own]).run({ workers: 2 }))).toBe(
    "pipeline: step mine can't run on several threads: it is made of code of yours, a name and JSON options were needed. Put it into a file of its own for step.module(file, options), or set workers to 1",
  );
  expect(
    await refusal(() => pipeline([reader, module(judgeFile, { f: [() => 1] })]).run({ workers: 2 })),
  ).toContain("step.module can't run on several threads: options.f[0] is a function");
  expect(await refusal(() => pipeline([own as never]).run())).toContain(
    "step 1 is mine, a reader (read.jsonl, …) was needed",
  );
  expect(await refusal(() => pipeline([reader, own]).run({ tasks: 0 }))).toContain(
    "tasks is 0, a whole number from 1",
  );
  expect(await refusal(() => pipeline([reader, own]).run({ worker: 2 } as never))).toContain(
    "is it workers?",
  );
  expect(await refusal(() => pipeline([read.jsonl(path.join(dir, "*.json"))]).run())).toContain(
    "names no file",
  );
  const twice = [
    write.jsonl(path.join(dir, "o"), { rejected: "a" }),
    write.jsonl(path.join(dir, "p"), { rejected: "b" }),
  ];
  expect(await refusal(() => pipeline([reader, ...twice]).run())).toContain("one folder was needed");
  const same = [write.jsonl(path.join(dir, "o")), write.jsonl(path.join(dir, "o"))];
  expect((await error(pipeline([reader, ...same]).run())).message).toContain("two steps write");
  expect(
    readdirSync(dir).filter(
      (name) => !name.endsWith(".jsonl") && readdirSync(path.join(dir, name)).length > 0,
    ),
  ).toEqual([]);
});

test("a second run with the same share of a state is refused while the first is at work", async () => {
  const dir = tempDir();
  const input = writeDocuments(path.join(dir, "in"), 2, 50);
  const run = (share?: { rank: number; of: number }) =>
    pipeline([read.jsonl(input), write.jsonl(path.join(dir, "out"))]).run({
      state: path.join(dir, "state"),
      share,
    });
  const [first, second] = await Promise.allSettled([run(), run()]);
  const refused = [first, second].filter((ended) => ended.status === "rejected");
  expect(refused).toHaveLength(1);
  expect(String(refused[0]!.reason)).toMatch(
    /pipeline: process \d+ is at work in state .*\. Wait for its end/,
  );
  expect(await run()).toMatchObject({ read: 100, tasks: { skipped: 2 } });
  const shares = await Promise.all([run({ rank: 0, of: 2 }), run({ rank: 1, of: 2 })]);
  expect(shares.map(({ read }) => read)).toEqual([50, 50]);
  const other = path.join(dir, "state/share_2_of_3.lock");
  writeFileSync(other, `${process.ppid}\n`);
  expect((await error(run())).message).toMatch(/process \d+ is at work in state .*share_2_of_3/);
  writeFileSync(other, "4194304\n"); // above the largest pid
  expect(await run()).toMatchObject({ read: 100 });
  expect(readdirSync(path.join(dir, "state")).filter((name) => name.endsWith(".lock"))).toEqual([]);
});
