import { Presets, SingleBar } from "cli-progress";
import type { StepMetrics } from "../index.ts";
import { printJson } from "./output.ts";

/** Shows the steps of a run while they are done. */
export interface Progress {
  step(m: StepMetrics): void;
  /** The last word on a run, whether it came to its end or not. */
  end(): void;
}

/** JSON lines for programs, a bar on a terminal, a line now and then in a log. */
export function showProgress(steps: number, json: boolean): Progress {
  if (json) return { step: printJson, end: () => undefined };
  return process.stdout.isTTY && process.stderr.isTTY ? bar(steps) : lines(steps);
}

function bar(steps: number): Progress {
  const format = "{bar} step {value}/{total} · loss {loss} · {rate} tokens/s · {eta_formatted} left";
  const shown = new SingleBar({ format, hideCursor: true, etaBuffer: 20 }, Presets.shades_classic);
  let started = false;
  return {
    step: (m) => {
      const payload = { loss: m.loss.toFixed(4), rate: Math.round(m.tokensPerSecond) };
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
  let last: StepMetrics | undefined;
  let shown: StepMetrics | undefined;
  let next = 0;
  const print = (m: StepMetrics): void => {
    const validation = Object.values(m.validation ?? {}).map((loss) => ` · validation ${loss.toFixed(4)}`);
    process.stdout.write(
      `step ${m.step}/${steps} · loss ${m.loss.toFixed(4)}${validation.join("")} · lr ${m.lr.toPrecision(3)} · ${Math.round(m.tokensPerSecond)} tokens/s\n`,
    );
    shown = m;
    next = performance.now() + kQuiet * 1000;
  };
  return {
    step: (m) => {
      last = m;
      if (m.validation || performance.now() >= next) print(m);
    },
    end: () => {
      if (last && last !== shown) print(last);
    },
  };
}
