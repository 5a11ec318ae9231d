// How the models of one seed are trained: a first phase on the old text, which all share as a checkpoint, and a second one on
// the new text. Written with the library's public names alone, as anyone would.
import { mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import {
  adamw,
  type CheckpointOptions,
  chain,
  clipByGlobalNorm,
  createModel,
  type Device,
  mix,
  type PretrainData,
  type PretrainOptions,
  pretrain,
  schedule,
} from "../../../lib/index.ts";
import type { Schedule } from "../../../lib/optim/schedule.ts";
import type { Domains, Shift } from "./domains.ts";

/** How long and how fast. */
export interface Training {
  /** Updates of the first phase, and of the second. */
  oldSteps: number;
  newSteps: number;
  batchTokens: number;
  maxLength: number;
  /** Highest learning rate; the lowest is a tenth of it. */
  peak: number;
  /** Warm-up of each cosine, as a share of its phase. */
  warmup: number;
  /** The infinite schedule: its constant rate as a share of the peak, its cooldown of the first phase, its anneal of the second. */
  infinite: { constant: number; cooldown: number; anneal: number };
  /** Times that losses are measured in the second phase. */
  measurements: number;
  architecture: Record<string, unknown>;
}

/** Losses on held-out text, in bits a byte. */
export interface Losses {
  old: number;
  new: number;
}

/** Losses after so many updates of the second phase, the last ones at its end. */
export type Curve = (Losses & { step: number })[];

/** The learning rate of the second phase. */
export type Rates = "cosine" | "cosine to half" | "floor" | "infinite";

export interface Second {
  shift: Shift;
  /** Share of the old text in every batch. */
  replay: number;
  rates: Rates;
}

export interface Workplace {
  device: Device;
  domains: Domains;
  training: Training;
  /** For checkpoints. */
  dir: string;
  seed: number;
  signal: AbortSignal;
}

/** All runs of one seed. The seed decides the first weights and the order of documents. */
export class Runs {
  private readonly lr: Record<Rates, Schedule>;
  /** Updates of the infinite schedule's anneal. */
  private readonly annealSteps: number;

  constructor(private readonly place: Workplace) {
    const { oldSteps, newSteps, infinite, peak } = place.training;
    this.annealSteps = Math.round(infinite.anneal * newSteps);
    const first = this.stage(oldSteps, peak);
    this.lr = {
      cosine: schedule.rewarm([first, this.stage(newSteps, peak)]),
      "cosine to half": schedule.rewarm([first, this.stage(newSteps, peak / 2)]),
      floor: schedule.rewarm([first]), // after its end the last rate holds
      infinite: this.annealed(oldSteps + newSteps),
    };
  }

  /** The first phase with a cosine, which repeats, and the checkpoint that the second ones begin with. */
  async firstWithCosine(): Promise<Record<Shift, Losses>> {
    const { oldSteps } = this.place.training;
    return this.losses({
      data: this.place.domains.old.train,
      steps: oldSteps,
      lr: this.lr.cosine,
      checkpoint: { dir: this.checkpoints("cosine") },
    });
  }

  /** The same with the infinite schedule, which stays at its constant rate; that is how the second phase begins. */
  async firstWithInfinite(): Promise<Record<Shift, Losses>> {
    const { oldSteps } = this.place.training;
    return this.losses({
      data: this.place.domains.old.train,
      steps: oldSteps,
      lr: this.lr.infinite,
      checkpoint: { dir: this.checkpoints("infinite"), every: oldSteps - this.annealSteps },
    });
  }

  /** A branch of the run before: an earlier checkpoint of it, annealed by the end of the first phase. */
  async firstAnnealed(): Promise<Record<Shift, Losses>> {
    const { oldSteps } = this.place.training;
    return this.branched((dir) =>
      this.losses({
        data: this.place.domains.old.train,
        steps: oldSteps,
        lr: this.annealed(oldSteps),
        checkpoint: {
          dir,
          from: { dir: this.checkpoints("infinite"), step: oldSteps - this.annealSteps },
        },
      }),
    );
  }

  /** The second phase, from where the first one ended. */
  async second({ shift, replay, rates }: Second): Promise<Curve> {
    const { domains, training } = this.place;
    const { oldSteps, newSteps, measurements } = training;
    const old = { data: domains.old.train, weight: replay, name: "old" };
    const data = mix([{ data: domains[shift].train, weight: 1 - replay, name: "new" }, old]);
    const first = this.checkpoints(rates === "infinite" ? "infinite" : "cosine");
    return this.branched(async (dir) => {
      const curve: Curve = [];
      const run = {
        phases: [
          { name: "old", data: domains.old.train, steps: oldSteps },
          { name: "new", data, steps: newSteps, optimizer: "reset" as const },
        ],
        lr: this.lr[rates],
        checkpoint: { dir, from: { dir: first, step: oldSteps } },
        every: Math.ceil(newSteps / measurements),
      };
      for await (const { step, losses } of this.measured(run, shift === "none" ? ["old"] : ["old", shift])) {
        const { old = Number.NaN } = losses;
        curve.push({ step: step - oldSteps, old, new: losses[shift] ?? old });
      }
      return curve;
    });
  }

  /** Both texts from the start, in the proportion of the two phases, with one cosine over `steps`. */
  async union(shift: Shift, steps: number): Promise<Losses> {
    const { domains, training } = this.place;
    const { oldSteps, newSteps, peak } = training;
    const data = mix([
      { data: domains.old.train, weight: oldSteps, name: "old" },
      { data: domains[shift].train, weight: newSteps, name: "new" },
    ]);
    const lr = schedule.rewarm([this.stage(steps, peak)]);
    const all = await this.losses({ data, steps, lr });
    return all[shift];
  }

  private stage(steps: number, peak: number) {
    const { training } = this.place;
    return { peak, min: training.peak / 10, warmupSteps: Math.ceil(training.warmup * steps), steps };
  }

  /** The infinite schedule with its anneal at the end of `steps` updates. */
  private annealed(steps: number): Schedule {
    const { peak, infinite, oldSteps } = this.place.training;
    const { warmupSteps } = this.stage(oldSteps, peak);
    const cooldownSteps = Math.round(infinite.cooldown * oldSteps);
    return schedule.infinite({
      peak,
      constant: infinite.constant * peak,
      min: peak / 10,
      warmupSteps,
      cooldownSteps,
      constantSteps: steps - warmupSteps - cooldownSteps - this.annealSteps,
      annealSteps: this.annealSteps,
      cooldown: "inverseSqrt",
    });
  }

  private checkpoints(name: "cosine" | "infinite"): string {
    return path.join(this.place.dir, `seed-${this.place.seed}-${name}`);
  }

  /** Runs what begins with another run's checkpoint, and keeps none of its own. */
  private async branched<T>(run: (dir: string) => Promise<T>): Promise<T> {
    const dir = await mkdtemp(path.join(this.place.dir, "branch-"));
    try {
      return await run(dir);
    } finally {
      await rm(dir, { recursive: true });
    }
  }

  /** Losses on the old text and each of the new ones at the end of a run. */
  private async losses(run: Omit<Run, "every">): Promise<Record<Shift, Losses>> {
    let last: Record<string, number> = {};
    for await (const { losses } of this.measured({ ...run, every: 0 }, ["old", "strong", "weak"]))
      last = losses;
    const old = last.old!;
    return {
      strong: { old, new: last.strong! },
      weak: { old, new: last.weak! },
      none: { old, new: old },
    };
  }

  /** Trains a model, and gives its losses in bits a byte whenever they were measured. */
  private async *measured({ lr, every, ...run }: Run, names: readonly (Shift | "old")[]) {
    const { device, domains, training, seed, signal } = this.place;
    const { architecture, batchTokens, maxLength } = training;
    const model = createModel(architecture, { device, seed });
    try {
      const steps = pretrain({
        ...run,
        model,
        optimizer: chain(
          clipByGlobalNorm(1),
          adamw({ lr, betas: [0.9, 0.95], weightDecay: 0.1, decay: (_, shape) => shape.length > 1 }),
        ),
        batchTokens,
        maxLength,
        auxLossCoef: 0.01,
        validation: {
          every,
          sets: Object.fromEntries(names.map((name) => [name, domains[name].heldOut])),
        },
        seed,
        signal,
      });
      for await (const { step, validation } of steps) {
        if (validation === undefined) continue;
        const losses = names.map((name) => [name, validation[name]! * domains[name].bitsPerNat]);
        yield { step, losses: Object.fromEntries(losses) as Record<string, number> };
      }
      signal.throwIfAborted();
    } finally {
      model.dispose();
    }
  }
}

interface Run extends Pick<PretrainOptions, "phases" | "steps"> {
  data?: PretrainData;
  lr: Schedule;
  /** Updates between two measurements; 0: only at the end. */
  every: number;
  checkpoint?: CheckpointOptions;
}
