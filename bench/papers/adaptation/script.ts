// What both scripts do: read their options, train, write their findings, and end cleanly at Ctrl-C.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { onInterrupt } from "../../../lib/cli/interrupt.ts";
import { type Device, device } from "../../../lib/index.ts";
import { type Finding, findingsTable, markdownTable } from "../findings.ts";
import { type Arm, type Outcome, type Settings, trainArms } from "./arms.ts";
import { type Cost, measureCosts } from "./cost.ts";
import { type Domains, writeDomains } from "./domains.ts";

export interface Script {
  /** Its name, and that of its folder below runs/. */
  name: string;
  arms: readonly Arm[];
  settings: Settings;
  findings: (outcome: Outcome, costs: readonly Cost[]) => Finding[];
  /** Tables as Markdown. */
  tables: (outcome: Outcome) => string[];
  /** File name → SVG. */
  charts: (outcome: Outcome) => Record<string, string>;
  /** Steps of each arm whose time is measured. */
  rounds: number;
}

export interface Written {
  text: string;
  files: string[];
}

/** Runs a script's `--out DIR --seeds N`. Exit code 130 after Ctrl-C; the same command goes on. */
export async function runScript(script: Script): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: `runs/${script.name}` },
      seeds: { type: "string", default: String(script.settings.seeds) },
    },
  });
  const seeds = Number(values.seeds);
  if (!(Number.isInteger(seeds) && seeds > 0))
    throw new Error(`--seeds is ${values.seeds}: a whole number above 0 was needed`);
  const started = performance.now();
  const interrupt = onInterrupt("Stopping after the step that is running. Once more to stop at once.");
  const progress = (line: string): void =>
    console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line}`);
  try {
    const domains = await writeDomains(path.join(values.out, "texts"));
    const settings = { ...script.settings, seeds };
    const { text, files } = await carryOut({ ...script, settings }, domains, {
      out: values.out,
      progress,
      signal: interrupt.signal,
    });
    console.log(`\n${text}\n\n${files.join("\n")}`);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    process.stderr.write(`Stopped. The same command goes on: --out ${values.out}\n`);
    process.exitCode = 130;
  } finally {
    interrupt.end();
  }
}

/** Trains, measures and writes findings.md, results.json and the charts into `out`. */
export async function carryOut(
  script: Script,
  domains: Domains,
  surroundings: { out: string; progress?: (line: string) => void; signal?: AbortSignal },
): Promise<Written> {
  const { out, signal } = surroundings;
  const { arms, settings, rounds } = script;
  const started = performance.now();
  const outcome = await trainArms(domains, arms, settings, surroundings);
  const dev: Device = await device("cpu");
  const costs = await measureCosts(dev, domains, arms, { batchTokens: settings.batchTokens, rounds });
  dev.close();
  signal?.throwIfAborted();
  const seconds = Math.round((performance.now() - started) / 1000);
  const findings = script.findings(outcome, costs);
  const text = [
    ...script.tables(outcome),
    sweepTable(outcome),
    costTable(costs),
    findingsTable(findings),
    `This call took ${seconds} s.`,
  ].join("\n\n");
  const files: Record<string, string> = {
    ...script.charts(outcome),
    "findings.md": `${text}\n`,
    "results.json": `${JSON.stringify({ seconds, settings, findings, costs, ...withoutMatrices(outcome) }, undefined, 1)}\n`,
  };
  await mkdir(out, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(out, name), content);
  return { text, files: Object.keys(files).map((name) => path.join(out, name)) };
}

/** Single matrices are in the runs' own results, below report/. */
const withoutMatrices = ({ base, arms }: Outcome) => ({
  base,
  arms: arms.map((arm) => ({
    ...arm,
    runs: arm.runs.map(({ run, parameters, points }) => ({
      seed: run.seed,
      parameters,
      points: points.map(({ drift: _drift, ranks: _ranks, ...point }) => point),
    })),
  })),
});

/** Bits are for people; rates are chosen by nats a token, which order alike. */
function sweepTable({ arms }: Outcome): string {
  const rates = [...new Set(arms.flatMap(({ sweep }) => sweep.map(({ lr }) => lr)))].sort((a, b) => a - b);
  return markdownTable(
    ["loss on the text for choosing, nats a token, by learning rate", ...rates.map(String)],
    arms
      .filter(({ sweep }) => sweep.length > 0)
      .map(({ name, lr: chosen, sweep }) => [
        name,
        ...rates.map((lr) => {
          const tried = sweep.find((one) => one.lr === lr);
          if (tried === undefined) return "";
          const words = tried.loss === null ? "diverged" : tried.loss.toFixed(3);
          return lr === chosen ? `**${words}**` : words;
        }),
      ]),
  );
}

function costTable(costs: readonly Cost[]): string {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(2);
  return markdownTable(
    ["arm", "weights, MB", "adapter, MB", "gradients, MB", "optimizer, MB", "µs a token", "× the first"],
    costs.map((cost) => [
      cost.name,
      mb(cost.modelBytes),
      mb(cost.adapterBytes),
      mb(cost.gradientBytes),
      mb(cost.optimizerBytes),
      cost.microsecondsPerToken.toFixed(1),
      (cost.microsecondsPerToken / costs[0]!.microsecondsPerToken).toFixed(2),
    ]),
  );
}
