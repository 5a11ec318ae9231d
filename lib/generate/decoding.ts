// B sequences of a step, T tokens, D hidden, V vocabulary
import { scope } from "../core/scope.ts";
import { disposeAll, withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { gatherRows } from "../ops/gather_rows.ts";
import { tokenLogProb } from "../ops/linear_cross_entropy.ts";
import { sample } from "../ops/sample.ts";
import { packBatch } from "../text/token_batch.ts";
import { KeyValueCache } from "./cache.ts";
import type { Sampling } from "./options.ts";

/** New tokens of a sequence that the cache doesn't hold yet: the whole prompt at first, then one at a time. */
export interface Feed {
  sequence: number;
  tokens: readonly number[];
}

/** A token that the model chose. */
export interface Draw {
  token: number;
  /** Its log-probability under the model (temperature 1, nothing cut), where asked for. */
  logProb?: number;
}

/** Sequences that grow token by token, their keys and values cached. Owns the cache: dispose it. */
export class Decoding {
  private readonly cache: KeyValueCache;
  private step = 0;

  constructor(
    private readonly model: Model,
    capacities: readonly number[],
    private readonly sampling: Sampling,
  ) {
    this.cache = new KeyValueCache(model, capacities);
  }

  /** Runs the model over the feeds, packed, and draws the token that comes after each. */
  async extend(feeds: readonly Feed[]): Promise<Draw[]> {
    const { ids, logProbs } = withoutGrad(() => scope(() => this.enqueue(feeds)));
    try {
      const [tokens, values] = await Promise.all([ids.data(), logProbs?.data()]);
      return Array.from(tokens, (token, i) => ({ token, ...(values && { logProb: values[i]! }) }));
    } finally {
      disposeAll(ids, logProbs);
    }
  }

  private enqueue(feeds: readonly Feed[]): { ids: Tensor; logProbs: Tensor | undefined } {
    const { model, sampling } = this;
    const batch = packBatch(feeds.map((feed) => feed.tokens));
    const input = model.upload(batch);
    const { access, positions } = this.cache.extend(
      feeds.map((feed) => feed.sequence),
      feeds.map((feed) => feed.tokens.length),
    );
    input.positions.write(positions);
    const { hidden } = model.forward({ ...input, cache: access });
    const ends = batch.offsets.slice(1).map((end) => end - 1);
    const last_BD = gatherRows(hidden, model.device.tensor(ends, [ends.length]));
    const ids = sample(model.headLogits(last_BD), { ...sampling, position: this.step++ });
    const logProbs = sampling.logProbs ? tokenLogProb(last_BD, model.parts.head.weight, ids) : undefined;
    return { ids, logProbs };
  }

  dispose(): void {
    this.cache.dispose();
  }
}
