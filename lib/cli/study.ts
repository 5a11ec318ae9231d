import path from "node:path";
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import {
  type MethodOption,
  type RunRow,
  runStudy,
  type StudyOptions,
  type StudyRun,
  studyRuns,
} from "../index.ts";
import { dtypeOption, threadsOption } from "./device.ts";
import { onInterrupt } from "./interrupt.ts";
import { command, filePath, jsonOption, kTextFiles, UsageError } from "./options.ts";
import { note, printJson, shortBytes } from "./output.ts";
import { earlierSettings } from "./training.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe("folder of the base model"),
    data: filePath().describe(`text of the new domain, to train on: token file (.ds), or ${kTextFiles}`),
    newHeldOut: filePath().describe("held-out text of the new domain, to measure what is learned"),
    choiceHeldOut: filePath()
      .optional()
      .describe("another one, to choose learning rates by; default: one half of --new-held-out"),
    oldHeldOut: filePath().describe("text that the base model knows, to measure what is forgotten"),
    methods: z
      .array(z.union([z.string(), z.record(z.string(), z.unknown())]))
      .describe(
        "full, lora:RANK, dora:RANK, with targets lora:RANK:attention|mlp|experts|all; in a file also objects with" +
          " method, rank, targets, alpha, dropout, rslora, modules-to-save, weight-decay, lr, whose lists multiply",
      ),
    lr: z
      .array(z.number().min(0))
      .default([])
      .describe("learning rates of methods that have none of their own"),
    seeds: z.array(z.int().min(0)).default([0]).describe("each decides order of data, dropout, adapters"),
    out: filePath().describe("folder of the study: report.html, runs.csv, points.csv, runs/"),
    steps: z.int().min(1).describe("updates of each run"),
    points: z
      .union([z.int().min(1), z.array(z.int().min(1))])
      .default(4)
      .describe("how many times a run is measured, evenly, the end included; in a file also a list of steps"),
    batchTokens: z.int().min(1).default(4096).describe("tokens of a batch"),
    accumulationSteps: z.int().min(1).default(1).describe("batches for one update"),
    schedule: z
      .enum(["constant", "linear", "cosine"])
      .default("cosine")
      .describe("way from a run's lr to a tenth of it"),
    warmupSteps: z
      .int()
      .min(0)
      .optional()
      .describe("updates until lr is reached; default: a twentieth of steps"),
    weightDecay: z.number().min(0).default(0.1).describe("AdamW's weight decay, on matrices only"),
    clip: z.number().min(0).default(1).describe("largest norm of all gradients together; 0: no limit"),
    auxLossCoef: z
      .number()
      .min(0)
      .optional()
      .describe("weight of the load-balancing loss; default: router_aux_loss_coef of config.json"),
    recompute: z.boolean().default(false).describe("run layers again in the backward pass: less memory"),
    variance: z
      .number()
      .positive()
      .max(1)
      .default(0.9)
      .describe("share of the change's variance its rank holds"),
    largestSpectrum: z
      .int()
      .min(0)
      .default(256)
      .describe("matrices whose shorter side is longer get no rank"),
    parallel: z
      .int()
      .min(1)
      .default(1)
      .describe("runs at a time, in processes of their own; fewer where memory has no room"),
    memoryBytes: z
      .int()
      .min(1)
      .optional()
      .describe("all runs together may take; default: what is free when the first has taken two steps"),
    device: z.string().default("auto").describe("cpu, cuda, cuda:1, auto"),
    memoryLimitBytes: z.int().min(1).optional().describe("of a run's tensors; one that needs more fails"),
    checkpointEvery: z
      .int()
      .min(0)
      .default(500)
      .describe("updates between checkpoints; one at each point anyway"),
    save: z.boolean().default(false).describe("keep what each run trained, in its folder"),
    resume: z
      .boolean()
      .default(false)
      .describe("go on with the study in --out; its settings need not be given again"),
    retryFailed: z.boolean().default(false).describe("with --resume, do failed runs again"),
    ...dtypeOption,
    ...threadsOption,
    ...jsonOption,
  }),
  earlier: earlierSettings,
  run: async ({ json, ...given }) => {
    const options = { ...given, methods: given.methods as MethodOption[] };
    const { length } = runsOf(options);
    const interrupt = onInterrupt("Stopping after the steps that are running. Once more to stop at once.");
    let done = 0;
    try {
      for await (const row of runStudy({ ...options, note, signal: interrupt.signal })) {
        done++;
        if (json) printJson(row);
        else process.stdout.write(`${done}/${length} ${wordsOf(row)}\n`);
      }
    } finally {
      interrupt.end();
    }
    if (done < length) {
      note(`Stopped after ${done} of ${length} runs. Go on: mixwright study --resume --out ${given.out}`);
      process.exitCode = 130;
    } else if (!json) process.stdout.write(`report in ${path.join(given.out, "report.html")}\n`);
  },
});

/** Settings that don't fit are the command line's or the file's fault. */
function runsOf(options: StudyOptions): StudyRun[] {
  try {
    return studyRuns(options);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message);
    throw error;
  }
}

function wordsOf({
  run,
  reason,
  newLoss,
  oldLoss,
  learned,
  forgotten,
  peakBytes,
  msPerToken,
}: RunRow): string {
  if (reason !== undefined) return `${run}: failed, ${reason}`;
  const parts = [
    `new ${newLoss?.toFixed(4)}, learned ${learned?.toFixed(4)}`,
    `old ${oldLoss?.toFixed(4)}, forgotten ${forgotten?.toFixed(4)}`,
    ...(peakBytes === undefined ? [] : [shortBytes(peakBytes)]),
    ...(msPerToken === undefined ? [] : [`${(1000 * msPerToken).toPrecision(3)} µs a token`]),
  ];
  return `${run}: ${parts.join(" · ")}`;
}
