/** Where a row of draws stands. */
interface Standing {
  /** Draws done. */
  draws: number;
  /** Of each source, draws done. */
  taken: Float64Array;
  /** Of each source, its share of all tokens so far less what it gave, times the sum of the weights. */
  owed: bigint[];
}

/** A draw: which source, and how often that one was drawn before. */
export interface Turn {
  source: number;
  index: number;
}

/** Standings are kept every so many draws, for going back. */
const kStride = 2 ** 16;

/**
 * Whose turn it is, by weight: after every draw each source has given its share of the tokens to less than one batch. Of
 * the sources that one more batch would not put a batch ahead, the one whose batch is due first is drawn: fair queueing on
 * one link, Bennett and Zhang 1996 (WF²Q); for batches of one size the schedule of Baruah et al. 1996 (P-fair). Weights
 * count as the decimal numbers they are written as, and all arithmetic is on whole numbers, so that no error adds up.
 * `turn(i)` depends on `i` alone; going on from the last one takes one draw, going elsewhere a replay.
 */
export class WeightedTurns {
  private readonly weights: readonly bigint[];
  private readonly total: bigint;
  private readonly kept: Standing[];
  private now: Standing;
  private last: Turn | undefined;

  /** `size(source, index)`: tokens of that batch, a whole number from 1. */
  constructor(
    weights: readonly number[],
    private readonly size: (source: number, index: number) => number,
  ) {
    this.weights = wholeNumbers(weights);
    this.total = this.weights.reduce((sum, weight) => sum + weight, 0n);
    this.now = { draws: 0, taken: new Float64Array(weights.length), owed: weights.map(() => 0n) };
    this.kept = [copyOf(this.now)];
  }

  /** Draw number `i`, counted from 0. */
  turn(i: number): Turn {
    if (this.last && this.now.draws === i + 1) return this.last;
    const nearest = this.kept[Math.min(Math.floor(i / kStride), this.kept.length - 1)]!;
    if (this.now.draws > i || this.now.draws < nearest.draws) this.now = copyOf(nearest);
    while (this.now.draws < i) this.draw();
    this.last = this.draw();
    return this.last;
  }

  private draw(): Turn {
    const { now, weights, total } = this;
    let source = -1;
    let size = 0n;
    let due = 0n;
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k]!;
      const own = BigInt(this.size(k, now.taken[k]!));
      if (now.owed[k]! + weight * own <= 0n) continue;
      // Its batch is due when its share has grown to hold it: in `left / weight` tokens.
      const left = own * total - now.owed[k]!;
      if (source >= 0 && left * weights[source]! >= due * weight) continue;
      source = k;
      size = own;
      due = left;
    }
    const index = now.taken[source]!++;
    for (let k = 0; k < weights.length; k++) now.owed[k]! += weights[k]! * size;
    now.owed[source]! -= total * size;
    now.draws++;
    if (now.draws === this.kept.length * kStride) this.kept.push(copyOf(now));
    return { source, index };
  }
}

const copyOf = ({ draws, taken, owed }: Standing): Standing => ({
  draws,
  taken: taken.slice(),
  owed: [...owed],
});

/** The smallest whole numbers in the ratio of decimal ones: 0.95 and 0.05 are 19 and 1. */
export function wholeNumbers(weights: readonly number[]): bigint[] {
  const parts = weights.map((weight) => {
    const [digits = "", power = "0"] = weight.toExponential().split("e");
    const [whole = "", fraction = ""] = digits.split(".");
    return { digits: BigInt(whole + fraction), power: Number(power) - fraction.length };
  });
  const lowest = Math.min(...parts.map(({ power }) => power));
  const numbers = parts.map(({ digits, power }) => digits * 10n ** BigInt(power - lowest));
  const divisor = numbers.reduce(greatestDivisor, 0n);
  return numbers.map((number) => number / divisor);
}

const greatestDivisor = (a: bigint, b: bigint): bigint => (b === 0n ? a : greatestDivisor(b, a % b));
