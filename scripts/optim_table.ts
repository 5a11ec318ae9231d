/** Writes lib/optim/README.md, all optimizers with their state and all schedules with a plot: `npm run docs:optim`. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { device } from "../lib/core/device.ts";
import { disposeAll } from "../lib/core/tape.ts";
import { adam, adamw } from "../lib/optim/adamw.ts";
import { lion } from "../lib/optim/lion.ts";
import { muon } from "../lib/optim/muon.ts";
import type { Optimizer } from "../lib/optim/optimizer.ts";
import * as schedule from "../lib/optim/schedule.ts";
import { sgd } from "../lib/optim/sgd.ts";

const folder = path.resolve(import.meta.dirname, "../lib/optim");
export const optimFile = path.join(folder, "README.md");

const optimizers: [call: string, optimizer: Optimizer, name?: string][] = [
  ["adamw()", adamw()],
  ['adamw({ states: "8bit" })', adamw({ states: "8bit" })],
  ["adam()", adam()],
  ["sgd()", sgd()],
  ["sgd({ momentum: 0.9 })", sgd({ momentum: 0.9 })],
  ["lion()", lion()],
  ["muon(), a matrix", muon()],
  ["muon(), an embedding", muon(), "embed"],
];

/** Bytes of state that a parameter of [256, 256] takes, divided by its size. */
async function stateBytes(optimizer: Optimizer, dtype: "f32" | "bf16", name = "weight"): Promise<number> {
  const dev = await device("cpu", { threads: 1 });
  const params = { [name]: dev.full([256, 256], 0, dtype) };
  const run = optimizer.init(params);
  const bytes = Object.values(run.state()).reduce((sum, tensor) => sum + tensor.bytes, 0);
  run.dispose();
  disposeAll(params);
  dev.close();
  return bytes / 256 ** 2;
}

const functions: Record<string, unknown> = { ...schedule };

/** A schedule by name and arguments, some of which may be schedules. */
class Call {
  readonly args: unknown[];
  constructor(
    readonly name: string,
    ...args: unknown[]
  ) {
    this.args = args;
  }

  make(): schedule.Schedule {
    const made = (arg: unknown): unknown =>
      arg instanceof Call ? arg.make() : Array.isArray(arg) ? arg.map(made) : arg;
    return (functions[this.name] as (...args: unknown[]) => schedule.Schedule)(...this.args.map(made));
  }

  toString(): string {
    const text = (arg: unknown): string => {
      if (arg instanceof Call || typeof arg !== "object" || arg === null)
        return typeof arg === "string" ? JSON.stringify(arg) : String(arg);
      if (Array.isArray(arg)) return `[${arg.map(text).join(", ")}]`;
      return `{ ${Object.entries(arg)
        .map(([key, value]) => `${key}: ${text(value)}`)
        .join(", ")} }`;
    };
    return `${this.name}(${this.args.map(text).join(", ")})`;
  }
}

const [peak, min, warmupSteps] = [1, 0.1, 10];
const wsd = { peak, min, warmupSteps, stableSteps: 60, decaySteps: 30 };
const infinite = {
  peak,
  constant: 0.5,
  min,
  warmupSteps,
  cooldownSteps: 30,
  constantSteps: 40,
  annealSteps: 20,
};
const root = new Call("inverseSqrt", { peak, warmupSteps, timescale: 10 });
const examples: Call[] = [
  new Call("constant", 0.5),
  new Call("linear", 1, 0.1, 100),
  new Call("cosine", 1, 0.1, 100),
  new Call("oneMinusSqrt", 1, 0.1, 100),
  new Call("polynomial", 1, 0.1, 100, 3),
  new Call("exponential", 1, 0.1, 100),
  new Call("join", [new Call("linear", 0, 1, 20), new Call("cosine", 1, 0, 80)], [20]),
  new Call("warmupCosine", { peak, min, warmupSteps, totalSteps: 100 }),
  root,
  new Call("trapezoid", { peak, min, warmupSteps, decaySteps: 30, totalSteps: 100 }),
  new Call("cooldown", root, { steps: 80, min: 0, decaySteps: 20, decay: "linear" }),
  new Call("wsd", { ...wsd, decay: "linear" }),
  new Call("wsd", { ...wsd, decay: "cosine" }),
  new Call("wsd", { ...wsd, decay: "oneMinusSqrt" }),
  new Call("infinite", { ...infinite, cooldown: "cosine" }),
  new Call("infinite", { ...infinite, cooldown: "inverseSqrt" }),
  new Call("rewarm", [
    { peak, min, warmupSteps, steps: 50 },
    { peak: 0.5, min: 0.05, warmupSteps, steps: 50 },
  ]),
];

const [columns, rows] = [72, 5];
const eighths = " ▁▂▃▄▅▆▇█";

/** The area below the curve from update 0 to 100, at rates from 0 to 1: 40 levels. */
function plot(lr: schedule.Schedule): string {
  const heights = Array.from({ length: columns }, (_, i) =>
    Math.round(lr((100 * i) / (columns - 1)) * rows * 8),
  );
  return Array.from({ length: rows }, (_, row) => {
    const base = (rows - 1 - row) * 8;
    return heights.map((h) => eighths[Math.min(8, Math.max(0, h - base))]).join("");
  })
    .map((line) => `│${line}`.trimEnd())
    .join("\n");
}

/** The doc comment of each exported function, up to its tags. */
function comments(): Map<string, string> {
  const source = readFileSync(path.join(folder, "schedule.ts"), "utf8");
  const found = source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport function (\w+)/g);
  return new Map(
    [...found].map(([, comment, name]) => [
      name!,
      comment!
        .replaceAll(/^ *\*? ?/gm, "")
        .replace(/@throws[\s\S]*/, "")
        .trim(),
    ]),
  );
}

/** The text of lib/optim/README.md as the code has it now. */
export async function optimTable(): Promise<string> {
  const states: string[] = [];
  for (const [call, optimizer, name] of optimizers) {
    const [f32, bf16] = [await stateBytes(optimizer, "f32", name), await stateBytes(optimizer, "bf16", name)];
    const text = (bytes: number): string => String(Math.round(bytes * 100) / 100);
    states.push(`| \`${call}\` | ${text(f32)} | ${text(bf16)} |`);
  }
  const sections: string[] = [];
  for (const [name, comment] of comments()) {
    const shown = examples.filter((call) => call.name === name);
    const plots = shown.map((call) => `\`\`\`text\n${call}\n${plot(call.make())}\n\`\`\``);
    sections.push([`### ${name}`, comment, ...plots].join("\n\n"));
  }
  return `---
title: Optimizers and schedules
---
<!-- Generated from the code in this folder by \`npm run docs:optim\`. -->
# Optimizers and schedules

## Bytes of state a parameter
Measured on a matrix of 256 × 256. A bf16 parameter has a master in f32, 4 bytes of it.

| optimizer | f32 parameter | bf16 parameter |
| --- | --- | --- |
${states.join("\n")}

Every optimizer takes \`decay\`, which says what weight decay leaves out, and \`groups\`, rates of their own by parameter
name: \`adamw({ lr, decay: (name, shape) => shape.length > 1, groups: loraPlus(16) })\`.

## Schedules
Functions of the number of updates done, so that they compose and resume by themselves. Plots: updates 0 to 100, rates 0
to 1.

${sections.join("\n\n")}
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(optimFile, await optimTable());
