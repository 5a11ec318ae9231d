/** The permutations' parameters: numpy's legacy RandomState, which datatrove draws them from. */

const kPrime = (1n << 61n) - 1n;
const kState = 624;
const kShift = 397;

/** MT19937 (Matsumoto and Nishimura 1998), seeded with one word: the stream of 32-bit numbers of `RandomState(seed)`. */
function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(kState);
  state[0] = seed;
  for (let i = 1; i < kState; i++) {
    const before = state[i - 1]! ^ (state[i - 1]! >>> 30);
    state[i] = Math.imul(1812433253, before) + i;
  }
  let at = kState;
  const turn = (): void => {
    for (let i = 0; i < kState; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % kState]! & 0x7fffffff);
      state[i] = state[(i + kShift) % kState]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === kState) turn();
    let y = state[at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** `count` factors a in [1, 2^61 − 1) and as many shifts b in [0, 2^61 − 1), in the order in which datatrove draws them. */
export function permutations(count: number, seed: number): { a: BigUint64Array; b: BigUint64Array } {
  const next = mersenneTwister(seed);
  const below = (range: bigint): bigint => {
    for (;;) {
      const high = BigInt(next());
      const drawn = ((high << 32n) | BigInt(next())) & kPrime;
      if (drawn <= range) return drawn;
    }
  };
  const a = BigUint64Array.from({ length: count }, () => 1n + below(kPrime - 2n));
  const b = BigUint64Array.from({ length: count }, () => below(kPrime - 1n));
  return { a, b };
}
