import { availableParallelism } from "node:os";
import { ConfigError } from "../core/errors.ts";
import { checkWhole, refuseUnknown } from "../core/options.ts";
import type { MethodOption } from "./grid.ts";

/** What a study compares, on what, and for how long. Paths of files and folders. */
export interface StudyOptions {
  /** Folder of the base model, with its tokenizer. */
  model: string;
  /** Text of the new domain, to train on. */
  data: string;
  /** Held-out text of the new domain: what is learned is measured on it. */
  newHeldOut: string;
  /**
   * Another one, by which learning rates are chosen. Default: every second document of newHeldOut, or one half of its only
   * document, which is then measured on the rest alone.
   */
  choiceHeldOut?: string;
  /** Text of the domain that the base model knows: what is forgotten is measured on it. */
  oldHeldOut: string;
  methods: readonly MethodOption[];
  /** Learning rates of the methods that have none of their own. */
  lr?: readonly number[];
  /** Each decides the order of data, dropout and an adapter's initial weights. Default [0]. */
  seeds?: readonly number[];
  /** Updates of each run. */
  steps: number;
  /** Folder of the study. */
  out: string;
  /** Goes on with the study in `out`; without it, one that is there is refused. */
  resume?: boolean;
  /** Moments at which a run is measured: how many, evenly over its steps, or the steps. The last step always is one. Default 4. */
  points?: number | readonly number[];
  /** Tokens of a batch. Default 4096. */
  batchTokens?: number;
  accumulationSteps?: number;
  /** Way from a run's lr to a tenth of it. Default "cosine". */
  schedule?: "constant" | "linear" | "cosine";
  /** Default: a twentieth of steps. */
  warmupSteps?: number;
  /** AdamW's, on matrices only, of the methods that have none of their own. Default 0.1. */
  weightDecay?: number;
  /** Largest norm of all gradients together; 0: no limit. Default 1. */
  clip?: number;
  /** Weight of the load-balancing loss. Default: that of the model's config. */
  auxLossCoef?: number;
  recompute?: boolean;
  dtype?: "f32" | "bf16";
  /** Share of ΔW's variance that its rank is counted for. Default 0.9. */
  variance?: number;
  /** Matrices whose shorter side is longer get no rank: the solver's time grows with its cube. Default 256. */
  largestSpectrum?: number;
  /** Runs at a time, each in a process of its own. Fewer, where memory hasn't room for as many. Default 1. */
  parallel?: number;
  /** Bytes that all runs together may take. Default: what is free when the first one has taken two steps. */
  memoryBytes?: number;
  /** "cpu", "cuda", …; default "auto". */
  device?: string;
  /** Of each run. Default: the processors, shared by the parallel ones. */
  threads?: number;
  /** Bytes of tensors a run may have; a run that needs more is a row that says so. */
  memoryLimitBytes?: number;
  /** Updates between checkpoints; there is always one at each point. Default 500. */
  checkpointEvery?: number;
  /** Does failed runs again. Default false. */
  retryFailed?: boolean;
  /** Keeps what each run trained, in its folder. Default false. */
  save?: boolean;
  /** Told in a line, when memory lets fewer runs at a time than `parallel`. */
  note?: (line: string) => void;
  /** Ends the study after the steps that are running, with their checkpoints. */
  signal?: AbortSignal;
}

const kDefaults = {
  lr: [] as readonly number[],
  seeds: [0] as readonly number[],
  points: 4 as number | readonly number[],
  batchTokens: 4096,
  accumulationSteps: 1,
  schedule: "cosine" as const,
  weightDecay: 0.1,
  clip: 1,
  recompute: false,
  dtype: "f32" as const,
  variance: 0.9,
  largestSpectrum: 256,
  parallel: 1,
  device: "auto",
  checkpointEvery: 500,
  retryFailed: false,
  save: false,
};

/** All that a run has to know, as it stands in the study's run.json. */
export type StudySettings = Omit<
  StudyOptions,
  keyof typeof kDefaults | "out" | "resume" | "signal" | "note"
> & {
  [K in keyof typeof kDefaults]-?: NonNullable<StudyOptions[K]>;
};

const kNeeded = ["model", "data", "newHeldOut", "oldHeldOut", "methods", "steps", "out"] as const;
const kOthers = [
  "choiceHeldOut",
  "resume",
  "warmupSteps",
  "auxLossCoef",
  "threads",
  "memoryBytes",
  "memoryLimitBytes",
  "note",
  "signal",
] as const;

/** Settings that may differ when a study goes on: which runs there are, and what doesn't change their numbers. */
export const kFree: readonly (keyof StudySettings)[] = [
  "checkpointEvery",
  "lr",
  "memoryBytes",
  "memoryLimitBytes",
  "methods",
  "parallel",
  "recompute",
  "retryFailed",
  "save",
  "seeds",
  "threads",
];

/** The options with their defaults. Throws ConfigError for one that is unknown, missing or out of range. */
export function settingsOf(options: StudyOptions): StudySettings {
  refuseUnknown("study", options, [...kNeeded, ...kOthers, ...Object.keys(kDefaults)]);
  for (const key of kNeeded)
    if (options[key] === undefined) throw new ConfigError(`study: ${key} was needed and not given`, key);
  const { out: _out, resume: _resume, signal: _signal, note: _note, ...given } = options;
  const settings: StudySettings = { ...kDefaults, ...withoutUndefined(given) };
  const { steps, batchTokens, accumulationSteps, parallel, largestSpectrum, checkpointEvery } = settings;
  const points = [settings.points].flat();
  checkWhole("study", { steps, batchTokens, accumulationSteps, parallel }, 1);
  checkWhole("study", { memoryBytes: settings.memoryBytes ?? 1 }, 1);
  for (const point of points) checkWhole("study", { points: point }, 1);
  checkWhole("study", { largestSpectrum, checkpointEvery, warmupSteps: settings.warmupSteps ?? 0 }, 0);
  const over = points.find((point) => point > steps);
  if (over !== undefined)
    throw new ConfigError(
      `study: points is ${over}, at most the ${steps} steps of a run were needed`,
      "points",
    );
  if ((settings.warmupSteps ?? 0) > steps) {
    throw new ConfigError(
      `study: warmupSteps is ${settings.warmupSteps}, at most the ${steps} steps of a run were needed`,
      "warmupSteps",
    );
  }
  if (!(settings.variance > 0 && settings.variance <= 1)) {
    throw new ConfigError(
      `study: variance is ${settings.variance}, a share above 0 and up to 1 was needed`,
      "variance",
    );
  }
  return settings;
}

/** Steps at which a run is measured, in order. */
export const pointsOf = ({ steps, points }: Pick<StudySettings, "steps" | "points">): number[] =>
  typeof points === "number"
    ? Array.from({ length: points }, (_, k) => Math.round(((k + 1) * steps) / points))
    : [...new Set([...points, steps])].sort((a, b) => a - b);

/** Threads of one run. */
export const threadsOf = ({ threads, parallel }: Pick<StudySettings, "threads" | "parallel">): number =>
  threads ?? Math.max(1, Math.floor(availableParallelism() / parallel));

const withoutUndefined = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
