import path from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { checkWhole, refuseUnknown } from "../../core/options.ts";

/** Which texts an ablation compares, by which models, measured on what. Paths of files and folders. */
export interface AblationOptions {
  /** Name of a variant → its text files (see readTexts). Two at least. */
  variants: Readonly<Record<string, readonly string[]>>;
  /** Folder with the tokenizer.json that all variants are encoded by. */
  tokenizer: string;
  /** The model that is trained on each, as createModel takes it; `vocab_size` is the tokenizer's if it isn't given. */
  model: Readonly<Record<string, unknown>>;
  /** Name of a domain → held-out text, measured in bits per byte. */
  heldOut?: Readonly<Record<string, string>>;
  /** Name of a task → multiple-choice questions (see readQuestions), scored by log-likelihood. */
  choices?: Readonly<Record<string, string>>;
  /** Folder of the ablation. */
  out: string;
  /** Goes on with the ablation in `out`; without it, one that is there is refused. */
  resume?: boolean;
  /** Each draws another sample of a variant's documents and other initial weights. Default [0, 1]. */
  seeds?: readonly number[];
  /** Tokens that each model is trained on, no document twice. Default: as many as the smallest variant has. */
  tokens?: number;
  /** Moments at which a model is measured, evenly over its steps, the last one included. Default 5. */
  points?: number;
  /** First so many questions of a task. Default 1000, as in FineWeb's ablations. */
  questions?: number;
  /** Tokens of a batch. Default 4096. */
  batchTokens?: number;
  /** AdamW's rate at its peak; it falls to a tenth by a cosine. Default 0.001. */
  lr?: number;
  /** Default: a twentieth of the steps. */
  warmupSteps?: number;
  /** On matrices only. Default 0.1. */
  weightDecay?: number;
  /** Largest norm of all gradients together; 0: no limit. Default 1. */
  clip?: number;
  /** "cpu", "cuda", …; default "auto". */
  device?: string;
  threads?: number;
  /** Ends the ablation after the step that is running, with its checkpoint. */
  signal?: AbortSignal;
}

const kDefaults = {
  heldOut: {} as Readonly<Record<string, string>>,
  choices: {} as Readonly<Record<string, string>>,
  seeds: [0, 1] as readonly number[],
  points: 5,
  questions: 1000,
  batchTokens: 4096,
  lr: 1e-3,
  weightDecay: 0.1,
  clip: 1,
  device: "auto",
};

/** All that decides the numbers, as it stands in the ablation's run.json. */
export type AblationSettings = Omit<AblationOptions, keyof typeof kDefaults | "out" | "resume" | "signal"> & {
  [K in keyof typeof kDefaults]-?: NonNullable<AblationOptions[K]>;
};

/** Settings that may differ when an ablation goes on. */
export const kFree: readonly (keyof AblationSettings)[] = ["seeds", "variants", "threads"];

const kNeeded = ["variants", "tokenizer", "model", "out"] as const;
const kOthers = ["resume", "tokens", "warmupSteps", "threads", "signal"] as const;

/** The options with their defaults, paths made absolute. Throws ConfigError for one that is unknown, missing or out of range. */
export function settingsOf(options: AblationOptions): AblationSettings {
  refuseUnknown("ablate", options, [...kNeeded, ...kOthers, ...Object.keys(kDefaults)]);
  for (const key of kNeeded)
    if (options[key] === undefined) throw new ConfigError(`ablate: ${key} was needed and not given`, key);
  const { out: _out, resume: _resume, signal: _signal, ...given } = options;
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const settings = { ...kDefaults, ...set } as AblationSettings;
  const { points, questions, batchTokens, tokens = 1, seeds, variants, heldOut, choices } = settings;
  checkWhole("ablate", { points, questions, batchTokens, tokens }, 1);
  checkWhole("ablate", { warmupSteps: settings.warmupSteps ?? 0 }, 0);
  const names = Object.keys(variants);
  if (names.length < 2)
    throw new ConfigError(`ablate: there is ${names.length} variant, at least two were needed`, "variants");
  for (const name of names) checkName(name, variants[name]!);
  if (seeds.length === 0 || seeds.some((seed) => !Number.isInteger(seed) || seed < 0))
    throw new ConfigError(`ablate: seeds is [${seeds}], whole numbers from 0 were needed`, "seeds");
  if (new Set(seeds).size < seeds.length)
    throw new ConfigError(`ablate: a seed comes twice in [${seeds}]`, "seeds");
  if (Object.keys(heldOut).length + Object.keys(choices).length === 0) {
    throw new ConfigError(
      "ablate: there is nothing to measure on. Name a held-out text in heldOut, or questions in choices",
      "heldOut",
    );
  }
  const absolute = (files: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(files).map(([name, file]) => [name, path.resolve(file)]));
  return {
    ...settings,
    tokenizer: path.resolve(settings.tokenizer),
    heldOut: absolute(heldOut),
    choices: absolute(choices),
    variants: Object.fromEntries(names.map((name) => [name, variants[name]!.map((f) => path.resolve(f))])),
  };
}

function checkName(name: string, files: readonly string[]): void {
  if (!/^[\w.+-]+$/.test(name)) {
    throw new ConfigError(
      `ablate: a variant is called "${name}", letters, digits and _ . + - were needed: it names a folder`,
      "variants",
    );
  }
  if (files.length === 0) throw new ConfigError(`ablate: the variant ${name} has no files`, "variants");
}
