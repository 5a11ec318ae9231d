/** Philox-4x32-10 (Salmon et al. 2011) as the paper writes it, in whole numbers: the oracle of everything that draws. */
export function philox(seed: number, stream: number, counter: number): number[] {
  const low = (n: number): bigint => BigInt(n) & 0xffffffffn;
  const high = (n: number): bigint => (BigInt(n) >> 32n) & 0xffffffffn;
  let x = [low(counter), high(counter), low(stream), high(stream)] as [bigint, bigint, bigint, bigint];
  let key = [low(seed), high(seed)] as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const a = 0xd2511f53n * x[0];
    const b = 0xcd9e8d57n * x[2];
    x = [(b >> 32n) ^ x[1] ^ key[0], b & 0xffffffffn, (a >> 32n) ^ x[3] ^ key[1], a & 0xffffffffn];
    key = [(key[0] + 0x9e3779b9n) & 0xffffffffn, (key[1] + 0xbb67ae85n) & 0xffffffffn];
  }
  return x.map(Number);
}
