/**
 * Random numbers on the host (shuffles, seeds) and the numbering of random streams on the device (dropout, initial
 * weights). Everything is a function of a seed and a counter, so that a resumed run draws what the first one would have.
 */

/** 32 well-mixed bits from two numbers, taken in a word at a time: the seed is mixed before the counter comes. */
function mix(seed: number, counter: number): number {
  let h = 0x9e3779b9;
  for (const word of [seed, seed / 2 ** 32, counter, counter / 2 ** 32, 0x27d4eb2f]) {
    h = Math.imul(h ^ (Math.floor(word) >>> 0), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    h = (h + 0x9e3779b9) | 0;
  }
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

/** A generator whose whole state is `seed` and `counter`. */
export class Random {
  constructor(
    readonly seed: number,
    public counter = 0,
  ) {}

  /** Uniform in [0, 1). */
  uniform(): number {
    return mix(this.seed, this.counter++) / 2 ** 32;
  }

  /** Uniform whole number in [0, n). */
  below(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Normal with mean 0 and variance 1 (Box–Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}

/** A seed for round `round` of what `seed` decides, below 2^53: rounds of one seed, and of others, share nothing. */
export function seedOf(seed: number, round: number): number {
  const random = new Random(seed, 2 * round);
  return random.below(2 ** 21) * 2 ** 32 + random.below(2 ** 32);
}

/** The numbers 0 … n-1 in an order that `seed` decides, another one in each round (Fisher–Yates). */
export function permutation(n: number, seed: number, round = 0): Int32Array {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  const random = new Random(seed, round * n);
  for (let i = n - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

let seed = 0;
let stream = 0;

/** Runs `fn` with device random streams numbered from `(seed, first)`: the same pair draws the same dropout masks. */
export function withRandomStreams<T>(at: { seed: number; first: number }, fn: () => T): T {
  const before = { seed, stream };
  ({ seed, first: stream } = at);
  try {
    return fn();
  } finally {
    ({ seed, stream } = before);
  }
}

/** The next random stream: what a kernel that draws takes. */
export const nextRandomStream = (): { seed: number; stream: number } => ({ seed, stream: stream++ });

/** Where the numbering stands, for running something again with the same draws. */
export const randomStreamPosition = (): { seed: number; first: number } => ({ seed, first: stream });
