// Ways to adapt one base model, each at its own best learning rate: first a study that chooses the rates, then one that reports.
import { availableParallelism } from "node:os";
import path from "node:path";
import { ConfigError, MixwrightError } from "../../../lib/core/errors.ts";
import { type MethodOption, runStudy, type StudyOptions, studyRuns } from "../../../lib/index.ts";
import { kBase, readResult } from "../../../lib/study/folder.ts";
import type { BaseResult, StudyResult } from "../../../lib/study/results.ts";
import type { Domains } from "./domains.ts";

export interface Arm {
  name: string;
  method: Exclude<MethodOption, string>;
  /**
   * Learning rates to begin with, rising by one factor: more are tried as long as the best is at an end. Or the name of an
   * earlier arm whose rate is taken.
   */
  rates: readonly number[] | string;
}

export interface Settings
  extends Pick<StudyOptions, "schedule" | "weightDecay" | "largestSpectrum" | "parallel"> {
  steps: number;
  /** Steps at which a run is measured; the last one always is. */
  points: readonly number[];
  /** Tokens of a step. */
  batchTokens: number;
  /** Runs of each arm at its best rate, with seeds 0, 1, … */
  seeds: number;
}

/** An arm that is through. */
export interface Trained {
  name: string;
  lr: number;
  /** Nats a token on the text for choosing, by learning rate; null: the run diverged. Empty where the rate is another arm's. */
  sweep: { lr: number; loss: number | null }[];
  /** By seed. */
  runs: StudyResult[];
}

export interface Outcome {
  base: BaseResult;
  arms: Trained[];
}

export interface Surroundings {
  /** Keeps the studies; what is there from an earlier call isn't done again. */
  out: string;
  progress?: (line: string) => void;
  signal?: AbortSignal;
}

/** So small a model gains more from a run on each core than from cores that share one. */
const kOneThread = { device: "cpu", threads: 1, parallel: availableParallelism() };

/** No seed of a reported run. */
const kChoiceSeed = 1000;
/** More rates than this are not tried on either side. */
const kMostWidenings = 3;

/**
 * Trains all arms. Throws what the signal says when it is aborted, MixwrightError for an arm that diverges at its chosen rate.
 */
export async function trainArms(
  domains: Domains,
  arms: readonly Arm[],
  settings: Settings,
  surroundings: Surroundings,
): Promise<Outcome> {
  const own = arms.filter(({ rates }) => typeof rates !== "string");
  const sweeps = await chooseRates(domains, own, settings, surroundings);
  const sweepOf = (name: string): Sweep => sweeps[own.findIndex((arm) => arm.name === name)] ?? [];
  const lrOf = ({ name, rates }: Arm): number => best(sweepOf(typeof rates === "string" ? rates : name)).lr;
  const out = path.join(surroundings.out, "report");
  const { seeds, ...rest } = settings;
  const options: StudyOptions = {
    ...domains,
    ...kOneThread,
    ...rest,
    out,
    methods: arms.map((arm) => ({ ...arm.method, lr: lrOf(arm) })),
    seeds: Array.from({ length: seeds }, (_, s) => s),
  };
  await follow(options, surroundings);
  const base = (await readResult<BaseResult>(out, kBase))!;
  const results: StudyResult[] = [];
  for (const { name } of studyRuns(options)) {
    const result = (await readResult<StudyResult>(out, name))!;
    if (result.status === "failed")
      throw new MixwrightError(`trainArms: ${name} failed at the rate chosen for it: ${result.reason}`);
    results.push(result);
  }
  return {
    base,
    arms: arms.map((arm, i) => ({
      name: arm.name,
      lr: lrOf(arm),
      sweep: sweepOf(arm.name),
      runs: results.slice(i * seeds, (i + 1) * seeds),
    })),
  };
}

type Sweep = Trained["sweep"];

/** Each arm's rates, until the best has a worse one on both sides. */
async function chooseRates(
  domains: Domains,
  arms: readonly Arm[],
  settings: Settings,
  surroundings: Surroundings,
): Promise<Sweep[]> {
  const rates = arms.map((arm) => [...(arm.rates as readonly number[])]);
  const { seeds: _, ...rest } = settings;
  for (let widened = 0; ; widened++) {
    const options: StudyOptions = {
      ...domains,
      ...kOneThread,
      ...rest,
      points: [settings.steps],
      largestSpectrum: 0,
      out: path.join(surroundings.out, "choice"),
      methods: arms.map(({ method }, i) => ({ ...method, lr: rates[i]! })),
      seeds: [kChoiceSeed],
    };
    await follow(options, surroundings);
    const losses: (number | null)[] = [];
    for (const { name } of studyRuns(options)) {
      const { status, points } = (await readResult<StudyResult>(options.out, name))!;
      losses.push(status === "done" ? points.at(-1)!.choice.loss : null);
    }
    const sweeps = rates.map((own): Sweep => own.map((lr) => ({ lr, loss: losses.shift()! })));
    const wider = sweeps.map((sweep) => (widened < kMostWidenings ? widen(sweep) : undefined));
    if (wider.every((rate) => rate === undefined)) return sweeps;
    wider.forEach((rate, i) => {
      if (rate !== undefined) rates[i] = [...rates[i]!, rate].sort((a, b) => a - b);
    });
  }
}

/** The entry with the lowest loss. Throws ConfigError if all diverged. */
export function best(sweep: Sweep): { lr: number; loss: number } {
  const finished = sweep.flatMap(({ lr, loss }) => (loss === null ? [] : [{ lr, loss }]));
  if (finished.length === 0) {
    throw new ConfigError(
      `best: all of the learning rates ${sweep.map(({ lr }) => lr).join(", ")} diverged, one that doesn't was needed. Give lower ones`,
      "lr",
    );
  }
  return finished.reduce((a, b) => (b.loss < a.loss ? b : a));
}

/** The rate beyond the best one, if that is the last on its side; none where there is nothing to choose. */
export function widen(sweep: Sweep): number | undefined {
  if (sweep.length === 1) return undefined;
  if (sweep.every(({ loss }) => loss === null)) return below(sweep);
  const at = sweep.findIndex(({ lr }) => lr === best(sweep).lr);
  if (at === 0) return below(sweep);
  return at === sweep.length - 1 ? rounded(sweep[at]!.lr * factorOf(sweep)) : undefined;
}

const factorOf = (sweep: Sweep): number => sweep[1]!.lr / sweep[0]!.lr;
const below = (sweep: Sweep): number => rounded(sweep[0]!.lr / factorOf(sweep));
/** One digit: 1e-3, 3e-3, 1e-2 are a factor of 3 or so apart. */
const rounded = (lr: number): number => Number(lr.toPrecision(1));

async function follow(
  options: StudyOptions,
  { progress = () => undefined, signal }: Surroundings,
): Promise<void> {
  const planned = studyRuns(options).length;
  let done = 0;
  for await (const row of runStudy({ ...options, resume: true, ...(signal && { signal }) })) {
    done++;
    const { run, reason, newBitsPerByte, oldBitsPerByte } = row;
    const words =
      reason ?? `new ${newBitsPerByte!.toFixed(3)}, old ${oldBitsPerByte!.toFixed(3)} bits a byte`;
    progress(`${path.basename(options.out)} ${done}/${planned}  ${run}: ${words}`);
  }
  signal?.throwIfAborted();
}
