import { readdirSync } from "node:fs";
import path from "node:path";
import { interleaved } from "../../bench/measure.ts";
import { type BenchCase, type Cost, forwardPass, Operands, trainingPass } from "../../bench/workload.ts";
import { device } from "../../lib/core/device.ts";
import type { DType } from "../../lib/core/dtype.ts";
import type { Cells, Report } from "./report.ts";

/** Every bench of the project at its own sizes, until `deadline`. A pass that fails has its reason in the place of figures. */
export async function timeOps(report: Report, deadline: number): Promise<void> {
  const folder = path.resolve(import.meta.dirname, "../../bench");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".bench.js"))
    .sort();
  const head = ["bench", "case", "format", "pass", "ms", "GFLOP/s", "GB/s", "tokens/s"];
  report.print("", "## Timings");
  report.head(...head);
  for (const file of files) {
    const { cases } = (await import(path.join(folder, file))) as { cases: BenchCase[] };
    for (const bench of cases) {
      for (const dtype of bench.dtypes ?? (["f32", "bf16"] as const)) {
        const names = [file.replace(/\.bench\.js$/, ""), bench.title, dtype];
        const add = (...figures: Cells): void => {
          const cells = [...names, ...figures];
          report.row(...cells);
          report.keep(Object.fromEntries(cells.map((cell, i) => [head[i], cell])));
        };
        if (performance.now() > deadline) add("left out", "time is up", "", "", "");
        else
          await timeCase(bench, dtype, add).catch((error: Error) => add("FAILED", error.message, "", "", ""));
      }
    }
  }
  report.print("");
}

async function timeCase(bench: BenchCase, dtype: DType, add: (...figures: Cells) => void): Promise<void> {
  using dev = await device("cuda");
  const operands = new Operands(dev, dtype);
  const workload = bench.make(operands);
  const { forward, backward, step } = workload;
  const passes: { pass: string; costs: Cost[]; enqueue: () => void }[] = [];
  if (backward && step) {
    passes.push({ pass: "step", costs: [forward, backward, step.update], enqueue: forwardPass(workload) });
  } else {
    passes.push({ pass: "fwd", costs: [forward], enqueue: forwardPass(workload) });
    const enqueue = backward && trainingPass(operands, workload);
    if (enqueue) passes.push({ pass: "fwd+bwd", costs: [forward, backward], enqueue });
  }
  const enqueues = passes.map(({ enqueue }) => enqueue);
  const timings = await interleaved(dev, enqueues, 500);
  passes.forEach(({ pass, costs }, i) => {
    const seconds = timings[i]!.medianSeconds;
    const perSecond = (of: (cost: Cost) => number): string =>
      (costs.reduce((total, cost) => total + of(cost), 0) / seconds / 1e9).toFixed(0);
    add(
      pass,
      (seconds * 1e3).toPrecision(3),
      perSecond(({ flops = 0 }) => flops),
      perSecond(({ reads, writes }) => reads + writes),
      step ? Math.round(step.tokens / seconds) : "",
    );
  });
}
