import path from "node:path";
import { z } from "zod";
import { openDevice, threadsOption } from "./device.ts";
import { onInterrupt } from "./interrupt.ts";
import { command, filePath, jsonOption } from "./options.ts";
import { note, printJson, program } from "./output.ts";
import { showProgress } from "./progress.ts";
import { lossesAfter } from "./quickstart/report.ts";
import { runQuickstart, type Stage } from "./quickstart/run.ts";

export default command({
  options: z.strictObject({
    out: filePath()
      .default(path.resolve("runs/quickstart"))
      .describe("folder for the model, the adapter and report.html"),
    seed: z.int().min(0).default(1).describe("decides initial weights, order of data, samples"),
    pretrainSteps: z.int().min(8).default(1300).describe("updates of 1024 tokens on glosses"),
    finetuneSteps: z.int().min(8).default(300).describe("updates of 1024 tokens on declarations"),
    ...threadsOption,
    ...jsonOption,
  }),
  run: async ({ json, threads, ...options }) => {
    const interrupt = onInterrupt("quickstart: stopping after this step");
    const device = await openDevice(threads);
    const started = performance.now();
    try {
      const outcome = await runQuickstart(device, { ...options, signal: interrupt.signal }, stageFor(json));
      const seconds = Math.round((performance.now() - started) / 1000);
      const losses = {
        pretrained: lossesAfter(outcome.pretraining),
        finetuned: lossesAfter(outcome.finetuning),
      };
      if (json) printJson({ seconds, ...losses, out: options.out });
      else process.stdout.write(closing(options.out, seconds, losses));
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      note(`quickstart: stopped; ${options.out} is as it was`);
      process.exitCode = 130;
    } finally {
      interrupt.end();
      device.close();
    }
  },
});

const stageFor = (json: boolean): Stage => ({
  title: (text) => void (json || process.stdout.write(`\n${text}\n`)),
  line: (text) => void (json || process.stdout.write(`${text}\n`)),
  follow: (steps) => showProgress(steps, json),
});

function closing(
  out: string,
  seconds: number,
  losses: Record<"pretrained" | "finetuned", Record<string, number>>,
): string {
  const change = (set: string) =>
    `${losses.pretrained[set]?.toFixed(3)} → ${losses.finetuned[set]?.toFixed(3)}`;
  return `
Done in ${seconds} s. Loss on held-out text, before → after fine-tuning: declarations ${change("declarations")}, glosses ${change("glosses")}
  report   ${path.join(out, "report.html")}
  model    ${path.join(out, "model")}, the pretrained one
  adapter  ${path.join(out, "adapter")}, a PEFT folder
  merged   ${path.join(out, "merged")}: ${program()} generate --model ${path.join(out, "merged")} --prompt "interface Array"
`;
}
