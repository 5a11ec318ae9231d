/** What a trainer yields after an update. Times and rates are of the wall clock; everything else is exact. */
export interface StepMetrics {
  /** Updates done, this one included: the first step is 1. */
  step: number;
  /** Mean loss over the targets of the step, router losses included, before the update. */
  loss: number;
  /** Learning rate of the update. */
  lr: number;
  /** Norm of all gradients together, before clipping. */
  gradNorm: number;
  tokensPerSecond: number;
  /** Tokens seen since the first step. */
  tokens: number;
  /** Unweighted load-balancing loss, where it is trained. */
  auxLoss?: number;
  /** Unweighted router z-loss, where it is trained. */
  zLoss?: number;
  /** Name of the phase, where a run has several. */
  phase?: string;
  /** Mean loss on each validation set, at the steps where it was measured, and under "set/metric" what else was. */
  validation?: Record<string, number>;
  /** Share of routed tokens that each expert of each sparse layer took, where validation was measured. */
  expertLoad?: number[][];
  /**
   * What is measured besides, in groups: "rewards/chosen", "logps/rejected", "policy/clipFraction", … Of each source of a
   * mixture, "loss/<source>" (cross-entropy) and "tokens/<source>" (since the first step); of each validation set of a
   * language model, "forgetting/<set>": by how much its loss is above the lowest one measured so far, before the first
   * step included (after Chaudhry et al. 2018, arXiv 1801.10112, whose measure is on accuracy).
   */
  [name: `${string}/${string}`]: number;
}

/** One step's numbers, on their way: the reads are enqueued with the step, so that waiting for them costs nothing. */
export interface PendingMetrics {
  step: number;
  lr: number;
  tokens: number;
  /** When it was enqueued; milliseconds of `performance.now`. */
  startedMs: number;
  scalars: Promise<Record<string, number>>;
  /** Numbers that are known already. */
  counts?: Readonly<Record<`${string}/${string}`, number>>;
  phase?: string;
  /** When the device was through with it. */
  finishedMs: Promise<number>;
}
