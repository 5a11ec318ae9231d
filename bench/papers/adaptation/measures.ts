// What is read off the runs of arms, in bits a byte, and how a comparison by seed is judged.
import type { BaseResult, LayerKind, StudyPoint, StudyResult } from "../../../lib/study/results.ts";
import { type Finding, halfInterval, mean, meanText } from "../findings.ts";
import type { Outcome, Trained } from "./arms.ts";

/** By how many bits a byte the new domain's text has become cheaper, and the old one's dearer. */
export interface Change {
  learned: number;
  forgotten: number;
}

export const changeOf = (point: Pick<StudyPoint, "new" | "old">, base: BaseResult): Change => ({
  learned: base.new.bitsPerByte - point.new.bitsPerByte,
  forgotten: point.old.bitsPerByte - base.old.bitsPerByte,
});

/** Throws RangeError for a name that no arm has. */
export function armOf({ arms }: Outcome, name: string): Trained {
  const arm = arms.find((one) => one.name === name);
  if (arm === undefined) throw new RangeError(`armOf: no arm is called ${name}`);
  return arm;
}

/** What each seed's run gives at one of its points; the last one unless said. */
export const bySeed = (
  { runs }: Trained,
  value: (point: StudyPoint, run: StudyResult) => number,
  at = -1,
): number[] => runs.map((run) => value(run.points.at(at)!, run));

export const learned = (outcome: Outcome, name: string, at = -1): number[] =>
  bySeed(armOf(outcome, name), (point) => changeOf(point, outcome.base).learned, at);
export const forgotten = (outcome: Outcome, name: string, at = -1): number[] =>
  bySeed(armOf(outcome, name), (point) => changeOf(point, outcome.base).forgotten, at);

/** a − b, seed by seed. */
export const differences = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((value, i) => value - b[i]!);

/** Is what these are of above 0? "yes" if the 95 % interval of the mean is, "in part" if only the mean is. */
export function aboveZero(values: readonly number[]): Finding["holds"] {
  if (mean(values) - halfInterval(values) > 0) return "yes";
  return mean(values) > 0 ? "in part" : "no";
}

/** "1.23 against 1.20 (difference 0.030 ± 0.010)" */
export const againstText = (a: readonly number[], b: readonly number[], digits = 3): string =>
  `${mean(a).toFixed(digits)} against ${mean(b).toFixed(digits)} (difference ${meanText(differences(a, b), digits)})`;

/** How much a run had forgotten when it had learned `level` first, by straight lines between its points; undefined: it never had. */
export function forgottenAt(run: StudyResult, base: BaseResult, level: number): number | undefined {
  let before: Change = { learned: 0, forgotten: 0 };
  for (const point of run.points) {
    const now = changeOf(point, base);
    if (now.learned >= level) {
      const share = (level - before.learned) / (now.learned - before.learned);
      return before.forgotten + share * (now.forgotten - before.forgotten);
    }
    before = now;
  }
  return undefined;
}

/** What two arms had forgotten, seed by seed, when both had learned what the one that learned less of the two ended with. */
export function forgottenAlike(
  { base, ...outcome }: Outcome,
  a: string,
  b: string,
): { level: number[]; a: number[]; b: number[] } {
  const [ofA, ofB] = [a, b].map((name) => armOf({ base, ...outcome }, name).runs);
  const pairs = ofA!.map((run, i) => {
    const most = (of: StudyResult): number =>
      Math.max(...of.points.map((point) => changeOf(point, base).learned));
    const level = Math.min(most(run), most(ofB![i]!));
    return {
      level,
      a: forgottenAt(run, base, level)!,
      b: forgottenAt(ofB![i]!, base, level)!,
    };
  });
  return { level: pairs.map((p) => p.level), a: pairs.map((p) => p.a), b: pairs.map((p) => p.b) };
}

/** Mean rank of the matrices of a kind, or of all, that holds the variance asked for: as a number, and as a share of the most there could be. */
export function rankOf(point: StudyPoint, kind?: LayerKind): { rank: number; share: number } {
  const own = point.ranks.filter((one) => kind === undefined || one.kind === kind);
  return { rank: mean(own.map(({ rank }) => rank)), share: mean(own.map(({ rank, of }) => rank / of)) };
}
