import { ConfigError } from "../../core/errors.ts";
import { checkWhole } from "../../core/options.ts";

/**
 * pass@k (Chen et al. 2021, §2.1): the chance that k of n samples, drawn without putting back, have a correct one among them, where
 * `correct` of the n are: 1 − C(n − correct, k)/C(n, k), the unbiased estimate of a problem's.
 * @throws ConfigError for counts that are no whole numbers, and for a `correct` or a k beyond n.
 */
export function passAtK(n: number, correct: number, k: number): number {
  checkWhole("passAtK", { n, k }, 1);
  checkWhole("passAtK", { correct }, 0);
  for (const [key, count] of Object.entries({ correct, k })) {
    if (count > n)
      throw new ConfigError(`passAtK: ${key} is ${count}, at most the ${n} samples was needed`, key);
  }
  if (correct === 0) return 0;
  // C(n − c, k)/C(n, k) is the same for c and k exchanged: a product of the fewer factors, none of them above 1.
  const [fewer, more] = correct < k ? [correct, k] : [k, correct];
  if (fewer + more > n) return 1;
  let missed = 0;
  for (let i = 0; i < fewer; i++) missed += Math.log1p(-more / (n - i));
  return -Math.expm1(missed);
}
