// Charts of the continual-pretraining study.
import { deviation, mean } from "../findings.ts";
import { barChart, lineChart, type Point } from "../plot.ts";
import type { Losses, Second } from "./runs.ts";
import { endOf, nameOf, type Study, unionOf } from "./study.ts";

/** File names and contents. */
export function charts(study: Study): [string, string][] {
  const { parts, replays } = study.options;
  const shifts = (["strong", "weak"] as const).filter(
    (shift) => (parts.includes("a") && shift === "strong") || (parts.includes("b") && shift === "weak"),
  );
  const made: [string, string][] = shifts.flatMap((shift) => [
    [`replay_${shift}.svg`, replayChart(study, shift)],
    ...(["old", "new"] as const).map((key): [string, string] => [
      `curves_${shift}_${key}.svg`,
      curves(
        study,
        `${key} loss over the second phase, ${shift} shift`,
        replays.map((replay) => ({
          name: `${100 * replay} % replay`,
          key,
          second: { shift, replay, rates: "cosine" },
        })),
      ),
    ]),
  ]);
  if (!parts.includes("c")) return made;
  const lines = (["cosine", "cosine to half", "floor", "infinite"] as const).flatMap((rates) =>
    (["old", "new"] as const).map(
      (key): Line => ({ name: `${rates}, ${key}`, key, second: { shift: "strong", replay: 0, rates } }),
    ),
  );
  return [...made, ["rates.svg", curves(study, "losses by learning rate, strong shift, no replay", lines)]];
}

function replayChart(study: Study, shift: "strong" | "weak"): string {
  const { replays, seeds } = study.options;
  const models = [
    ...replays.map((replay) => endOf(study, { shift, replay, rates: "cosine" })),
    unionOf(study, shift, "all"),
    unionOf(study, shift, "short"),
  ];
  return barChart({
    title: `Losses after the second phase by replay, ${shift} shift, ${seeds} seeds`,
    yLabel: "bits a byte, mean and 95 % interval",
    groups: [...replays.map((replay) => `${100 * replay} %`), "union", "short union"],
    series: (["old", "new", "average"] as const).map((key) => ({
      name: key === "average" ? "average" : `${key} text`,
      values: models.map((model) => model[key]),
    })),
  });
}

interface Line {
  name: string;
  key: keyof Losses;
  second: Second;
}

/** From the end of the first phase on. */
function curves({ options, seeds }: Study, what: string, lines: readonly Line[]): string {
  return lineChart({
    title: `${what[0]!.toUpperCase()}${what.slice(1)}, ${options.seeds} seeds`,
    xLabel: "updates of the second phase",
    yLabel: "bits a byte, mean ± standard deviation",
    fromZero: false,
    series: lines.map(({ name, key, second }) => {
      const start = second.rates === "infinite" ? "infinite" : "cosine";
      const runs = seeds.map(({ starts, seconds }) => [
        { step: 0, ...starts[start]![second.shift] },
        ...seconds[nameOf(second)]!,
      ]);
      return {
        name,
        points: runs[0]!.map(({ step }, i) =>
          point(
            step,
            runs.map((run) => run[i]![key]),
          ),
        ),
      };
    }),
  });
}

function point(x: number, values: readonly number[]): Point {
  const y = mean(values);
  return { x, y, low: y - deviation(values), high: y + deviation(values) };
}
