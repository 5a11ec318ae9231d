// What Ibrahim et al. 2024 claim, beside what came out. Every verdict is by rule from differences by seed: "yes" if their 95 %
// interval lies on the claim's side, "in part" if only their mean does.
import { type Finding, halfInterval, mean, meanText } from "../findings.ts";
import type { Shift } from "./domains.ts";
import type { Rates } from "./runs.ts";
import { endOf, type Measures, nameOf, type Study, startOf, unionOf } from "./study.ts";

/** Losses that differ by less than this share are as good as each other: 5 % replay is 0.8 % off the union in the paper. */
const kClose = 0.02;

type Verdict = Finding["holds"];

/** Whether differences, one a seed, are above `bound`. */
export function above(differences: readonly number[], bound = 0): Verdict {
  if (mean(differences) - halfInterval(differences) > bound) return "yes";
  return mean(differences) > bound ? "in part" : "no";
}

/** What holds of all. */
export function together(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes("no")) return "no";
  return verdicts.every((verdict) => verdict === "yes") ? "yes" : "in part";
}

const minus = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value - b[i]!);
const share = (a: readonly number[], b: readonly number[]): number[] => minus(a, b).map((d, i) => d / b[i]!);
const percent = (values: readonly number[], digits = 1): string =>
  `${meanText(
    values.map((value) => 100 * value),
    digits,
  )} %`;
/** "2.412 → 2.398 → 2.301", means. */
const row = (columns: readonly (readonly number[])[]): string =>
  columns.map((values) => mean(values).toFixed(3)).join(" → ");
/** "steps 0.412 ± 0.021, 0.233 ± 0.040" */
const steps = (differences: readonly (readonly number[])[]): string =>
  `steps ${differences.map((one) => meanText(one)).join(", ")}`;

/** Differences from each to the next. */
const stepsDown = (columns: readonly (readonly number[])[]): number[][] =>
  columns.slice(1).map((values, i) => minus(columns[i]!, values));
const stepsUp = (columns: readonly (readonly number[])[]): number[][] =>
  stepsDown(columns).map((values) => values.map((value) => -value));

/** What the paper has for each shift: Pile → German, Pile → SlimPajama, 405 million parameters, nats a token. */
const paper = {
  strong: {
    old: "3.56 → 2.83 → 2.57 → 2.33 → 2.24",
    new: "1.11 → 1.12 → 1.12 → 1.16 → 1.22",
    cost: "new +0.01, old −0.99",
    average: "above the union: 0.59 → 0.22 → 0.10 → 0.00",
    few: "1.85 against 1.75 (+5.7 %)",
    many: "1.75 against 1.75 (0 %)",
  },
  weak: {
    old: "2.44 → 2.26 → 2.23 → (–) → 2.16",
    new: "2.50 → 2.50 → 2.51 → (–) → 2.54",
    cost: "new +0.01, old −0.21",
    average: "above the union: 0.12 → 0.03 → 0.02 → (–)",
    few: "2.37 against 2.35 (+0.9 %)",
    many: "(–); 50 %: 2.35 against 2.35",
  },
};

function replayFindings(study: Study, shift: "strong" | "weak"): Finding[] {
  const { replays } = study.options;
  const ends = replays.map((replay) => endOf(study, { shift, replay, rates: "cosine" }));
  const at = (replay: number): Measures => ends[replays.indexOf(replay)]!;
  const of = (key: keyof Measures): number[][] => ends.map((end) => end[key]);
  const all = unionOf(study, shift, "all").average;
  const short = unionOf(study, shift, "short").average;
  const name = `${shift} shift`;
  const shares = replays.map((replay) => 100 * replay).join(", ");
  const falls = stepsDown(of("old"));
  const rises = stepsUp(of("new"));
  const upTo25 = replays.filter((replay) => replay <= 0.25).map((replay) => at(replay).average);
  const nearer = stepsDown(upTo25);
  const saved = minus(at(0).old, at(0.05).old);
  const paid = minus(at(0.05).new, at(0).new);
  const close = (replay: number, figure: string): Finding => {
    const excess = share(at(replay).average, all);
    return {
      claim: `${name}: ${100 * replay} % replay ends within ${100 * kClose} % of the union's average loss, trained on all tokens from the start`,
      paper: figure,
      ours: `${mean(at(replay).average).toFixed(3)} against ${mean(all).toFixed(3)} (${percent(excess)})`,
      holds: above(
        excess.map((value) => -value),
        -kClose,
      ),
    };
  };
  const cheaper = (replay: number): Finding => {
    const gain = minus(short, at(replay).average);
    return {
      claim: `${name}: ${100 * replay} % replay ends below a union that is trained from the start on as many tokens as the second phase has`,
      paper: "(not in the paper)",
      ours: `${mean(at(replay).average).toFixed(3)} against ${mean(short).toFixed(3)} (below by ${meanText(gain)})`,
      holds: above(gain),
    };
  };
  return [
    {
      claim: `${name}: old loss falls with replay (${shares} %)`,
      paper: paper[shift].old,
      ours: `${row(of("old"))}; ${steps(falls)}`,
      holds: together(falls.map((step) => above(step))),
    },
    {
      claim: `${name}: new loss rises with replay`,
      paper: paper[shift].new,
      ours: `${row(of("new"))}; ${steps(rises)}`,
      holds: together(rises.map((step) => above(step))),
    },
    {
      claim: `${name}: slightly: at 5 % it rises by less than a tenth of what the old loss falls`,
      paper: paper[shift].cost,
      ours: `new ${meanText(paid)}, old −${meanText(saved)}`,
      holds: above(saved.map((value, i) => value / 10 - paid[i]!)),
    },
    {
      claim: `${name}: the average approaches the union's with replay up to 25 %`,
      paper: paper[shift].average,
      ours: `above it: ${row(upTo25.map((values) => minus(values, all)))}; ${steps(nearer)}`,
      holds: together(nearer.map((step) => above(step))),
    },
    close(0.05, paper[shift].few),
    close(0.25, paper[shift].many),
    cheaper(0.05),
    cheaper(0.25),
  ];
}

function rateFindings(study: Study): Finding[] {
  const end = (shift: Shift, replay: number, rates: Rates): Measures =>
    endOf(study, { shift, replay, rates });
  const [full, half, floor] = (["cosine", "cosine to half", "floor"] as const).map((rates) =>
    end("strong", 0, rates),
  ) as [Measures, Measures, Measures];
  /** Is the first above the second? */
  const order = (claim: string, figure: string, higher: number[], lower: number[]): Finding => ({
    claim,
    paper: figure,
    ours: `${mean(higher).toFixed(3)} against ${mean(lower).toFixed(3)} (difference ${meanText(minus(higher, lower))})`,
    holds: above(minus(higher, lower)),
  });
  const same = (claim: string, figure: string, infinite: number[], cosine: number[]): Finding => {
    const excess = share(infinite, cosine);
    return {
      claim,
      paper: figure,
      ours: `${mean(infinite).toFixed(3)} against ${mean(cosine).toFixed(3)} (${percent(excess)})`,
      holds: together([
        above(excess, -kClose),
        above(
          excess.map((value) => -value),
          -kClose,
        ),
      ]),
    };
  };
  const start = startOf(study, "cosine", "none").old;
  const highest = study.seeds.map(({ seconds }) =>
    Math.max(
      ...seconds[nameOf({ shift: "none", replay: 0, rates: "cosine" })]!.slice(0, -1).map(({ old }) => old),
    ),
  );
  return [
    order(
      "re-warming adapts more than the constant lowest rate: new loss there against here",
      "lowest rate adapts least",
      floor.new,
      full.new,
    ),
    order(
      "re-warming forgets more: old loss here against there",
      "lowest rate forgets least",
      full.old,
      floor.old,
    ),
    order(
      "a higher peak adapts more: new loss at half the peak against the whole",
      "yes",
      half.new,
      full.new,
    ),
    order("a higher peak forgets more: old loss at the whole peak against half", "yes", full.old, half.old),
    order(
      "re-warming raises the loss for a while even on more of the same text: highest against start",
      "+0.1 (nats a token)",
      highest,
      start,
    ),
    same(
      `infinite, annealed from a branch, is within ${100 * kClose} % of the cosine after the first phase`,
      "similar",
      startOf(study, "infinite, annealed", "none").old,
      start,
    ),
    same(
      `infinite is within ${100 * kClose} % of the repeated cosine at equal tokens, no shift`,
      "similar",
      end("none", 0, "infinite").average,
      end("none", 0, "cosine").average,
    ),
    order(
      "infinite is better than the repeated cosine at equal tokens, strong shift, 5 % replay: average of the cosine against it",
      "left open; better in arXiv:2503.02844",
      end("strong", 0.05, "cosine").average,
      end("strong", 0.05, "infinite").average,
    ),
    order(
      "the same without replay",
      "left open",
      end("strong", 0, "cosine").average,
      end("strong", 0, "infinite").average,
    ),
  ];
}

/** Claims of the parts that were run. */
export function findingsOf(study: Study): Finding[] {
  const { parts } = study.options;
  return [
    ...(parts.includes("a") ? replayFindings(study, "strong") : []),
    ...(parts.includes("b") ? replayFindings(study, "weak") : []),
    ...(parts.includes("c") ? rateFindings(study) : []),
  ];
}
