import { Presets, SingleBar } from "cli-progress";
import type { StepMetrics } from "../index.ts";
import { printJson } from "./output.ts";

/** Shows the steps of a run while they are done. */
export interface Progress {
  step(m: StepMetrics): void;
  /** The last word on a run, whether it came to its end or not. */
  end(): void;
}

/** Tokens a second over a whole run so far: single steps are too short to time. */
function averageRate(): (m: StepMetrics) => number {
  let first: { tokens: number; at: number } | undefined;
  return ({ tokens, tokensPerSecond }) => {
    const at = performance.now() / 1000;
    const rate = first ? (tokens - first.tokens) / (at - first.at) : tokensPerSecond;
    first ??= { tokens, at };
    return Math.round(rate);
  };
}

/** What matters most of a step, by what it measured. */
function measured(m: StepMetrics): string[] {
  const shown = (name: string, key: `${string}/${string}`, digits: number): string[] =>
    m[key] === undefined ? [] : [`${name} ${m[key].toFixed(digits)}`];
  return [
    ...shown("score", "rollout/score", 4),
    ...shown("kl", "objective/kl", 4),
    `loss ${m.loss.toFixed(4)}`,
    ...shown("accuracy", "rewards/accuracies", 2),
    ...shown("margin", "rewards/margins", 4),
  ];
}

/** The losses of the validation sets, by how much each is above its lowest, and how often what was chosen has the higher reward. */
function validated({ validation = {}, ...m }: StepMetrics): string[] {
  const sets = Object.keys(validation);
  return Object.entries(validation).flatMap(([name, value]) => {
    const set = sets.find((other) => name.startsWith(`${other}/`));
    const above = m[`forgetting/${name}`] ?? 0;
    const forgotten = above > 0 ? ` (${above.toFixed(4)} above its lowest)` : "";
    if (set === undefined) return [`${name} ${value.toFixed(4)}${forgotten}`];
    return name === `${set}/rewards/accuracies` ? [`${set} accuracy ${value.toFixed(2)}`] : [];
  });
}

/** JSON lines for programs, a bar on a terminal, a line now and then in a log. */
export function showProgress(steps: number, json: boolean): Progress {
  if (json) return { step: printJson, end: () => undefined };
  return process.stdout.isTTY && process.stderr.isTTY ? bar(steps) : lines(steps);
}

function bar(steps: number): Progress {
  const format = "{bar} step {value}/{total} · {measured} · {rate} tokens/s · {eta_formatted} left";
  const shown = new SingleBar({ format, hideCursor: true, etaBuffer: 20 }, Presets.shades_classic);
  const rate = averageRate();
  let started = false;
  return {
    step: (m) => {
      const payload = { measured: measured(m).join(" · "), rate: rate(m) };
      if (started) shown.update(m.step, payload);
      else shown.start(steps, m.step, payload);
      started = true;
    },
    end: () => shown.stop(),
  };
}

/** Seconds between two lines of a log. */
const kQuiet = 10;

function lines(steps: number): Progress {
  const rateOf = averageRate();
  let last: StepMetrics | undefined;
  let rate = 0;
  let shown: StepMetrics | undefined;
  let next = 0;
  const print = (m: StepMetrics): void => {
    const words = [...measured(m), ...validated(m), `lr ${m.lr.toPrecision(3)}`, `${rate} tokens/s`];
    process.stdout.write(`step ${m.step}/${steps} · ${words.join(" · ")}\n`);
    shown = m;
    next = performance.now() + kQuiet * 1000;
  };
  return {
    step: (m) => {
      last = m;
      rate = rateOf(m);
      if (m.validation || performance.now() >= next) print(m);
    },
    end: () => {
      if (last && last !== shown) print(last);
    },
  };
}
