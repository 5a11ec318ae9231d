/**
 * npm run bench [-- filter …] [--json] [--threads N]
 *
 * Times every op at the sizes of a small mixture of experts, forward alone and with its gradient, and states each as a part
 * of what this machine can do, measured first. A filter is a part of an op's stem. Every `*.bench.ts` in `bench/ops` and in
 * `bench` takes part: a whole training step belongs in `bench/step.bench.ts`.
 */
import { readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { type Device, device } from "../lib/core/device.ts";
import type { DType } from "../lib/core/dtype.ts";
import { type Ceilings, floor, measureCeilings } from "./ceilings.ts";
import { interleaved, type Timing } from "./measure.ts";
import { jsonReport, type Report, tableReport } from "./report.ts";
import { type BenchCase, type Cost, forwardPass, Operands, trainingPass } from "./workload.ts";

const budgetMsPerOp = 2500;

interface Pass {
  op: string;
  case: string;
  dtype: DType;
  pass: "fwd" | "fwd+bwd" | "step";
  tokens?: number;
  costs: Cost[];
  enqueue: () => void;
}

function passesOf(dev: Device, op: string, bench: BenchCase): Pass[] {
  return (bench.dtypes ?? (["f32", "bf16"] as const)).flatMap((dtype) => {
    const operands = new Operands(dev, dtype);
    const workload = bench.make(operands);
    const common = { op, case: bench.title, dtype };
    const { forward, backward, step } = workload;
    if (backward && step) {
      const costs = [forward, backward, step.update];
      return [{ ...common, pass: "step", tokens: step.tokens, costs, enqueue: forwardPass(workload) }];
    }
    const passes: Pass[] = [{ ...common, pass: "fwd", costs: [forward], enqueue: forwardPass(workload) }];
    if (backward) {
      const enqueue = trainingPass(operands, workload);
      passes.push({ ...common, pass: "fwd+bwd", costs: [forward, backward], enqueue });
    }
    return passes;
  });
}

function report(to: Report, ceilings: Ceilings, pass: Pass, timing: Timing): void {
  const { enqueue: _, costs, tokens, ...names } = pass;
  const floors = costs.map((cost) => floor(ceilings, cost));
  const sum = (of: (cost: Cost) => number): number => costs.reduce((total, cost) => total + of(cost), 0);
  const least = floors.reduce((total, { seconds }) => total + seconds, 0);
  to.row({
    ...names,
    medianMs: timing.medianSeconds * 1e3,
    bestMs: timing.bestSeconds * 1e3,
    processors: timing.processors,
    gflops: sum((cost) => cost.flops ?? 0) / timing.medianSeconds / 1e9,
    ...(tokens && { tokensPerSecond: tokens / timing.medianSeconds }),
    gigabytesPerSecond: sum((cost) => cost.reads + cost.writes) / timing.medianSeconds / 1e9,
    percent: (100 * least) / timing.medianSeconds,
    bound: floors.reduce((a, b) => (b.seconds > a.seconds ? b : a)).bound,
  });
}

/** All passes of one op take turns, on a device of their own: closing it takes back every tensor. */
async function benchOp(op: string, cases: readonly BenchCase[], ceilings: Ceilings, to: Report) {
  using dev = await device("cpu", { threads: ceilings.threads });
  const passes = cases.flatMap((bench) => passesOf(dev, op, bench));
  const timings = await interleaved(
    dev,
    passes.map(({ enqueue }) => enqueue),
    budgetMsPerOp,
  );
  passes.forEach((pass, i) => {
    report(to, ceilings, pass, timings[i]!);
  });
}

async function ceilingsNow(threads: number | undefined, when: string, to: Report): Promise<Ceilings> {
  using dev = await device("cpu", threads === undefined ? {} : { threads });
  if (when === "before") to.machine(dev);
  const ceilings = await measureCeilings(dev);
  to.ceilings(when, ceilings);
  return ceilings;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, threads: { type: "string" } },
});
const threads = values.threads === undefined ? undefined : Number(values.threads);
const to = values.json ? jsonReport : tableReport;

const stems = ["ops", "."].flatMap((folder) =>
  readdirSync(path.join(import.meta.dirname, folder))
    .filter((file) => file.endsWith(".bench.ts"))
    .map((file) => ({ stem: path.basename(file, ".bench.ts"), file: `./${path.posix.join(folder, file)}` })),
);
const chosen = stems.filter(
  ({ stem }) => positionals.length === 0 || positionals.some((p) => stem.includes(p)),
);
if (chosen.length === 0) {
  console.error(
    `bench: nothing is named ${positionals.join(", ")}; there are ${stems.map((s) => s.stem).join(", ")}.`,
  );
  process.exit(1);
}

const ceilings = await ceilingsNow(threads, "before", to);
for (const { stem, file } of chosen) {
  const { cases } = (await import(file)) as { cases: readonly BenchCase[] };
  await benchOp(stem, cases, ceilings, to);
}
await ceilingsNow(threads, "after", to);
