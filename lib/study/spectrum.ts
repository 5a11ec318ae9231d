/** Couplings below this share of the matrix's size count as zero. */
const kTolerance = 1e-15;
/** Far more than any eigenvalue takes: two or three are usual. */
const kMostSteps = 60;

/**
 * Eigenvalues of a symmetric matrix [n, n], largest first, in float64: Householder reflections to a tridiagonal matrix, then
 * implicit QR steps with Wilkinson's shift (Golub and Van Loan, Matrix Computations, §8.3). Their error is a few units in the
 * last place of the largest. The time grows with n³. `matrix` is overwritten.
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const size = Math.sqrt(matrix.reduce((sum, v) => sum + v * v, 0));
  const { diagonal, beside } = tridiagonal(matrix, n);
  diagonalize(diagonal, beside, kTolerance * size);
  return diagonal.sort((a, b) => b - a);
}

interface Tridiagonal {
  diagonal: Float64Array;
  /** `beside[i]` couples i and i + 1. */
  beside: Float64Array;
}

/** Column by column, the reflection that leaves of what is below the diagonal one entry, from both sides. */
function tridiagonal(a: Float64Array, n: number): Tridiagonal {
  const beside = new Float64Array(Math.max(n - 1, 0));
  const v = new Float64Array(n);
  const w = new Float64Array(n);
  for (let k = 0; k < n - 1; k++) {
    let squares = 0;
    for (let i = k + 1; i < n; i++) {
      v[i] = a[i * n + k]!;
      squares += v[i]! * v[i]!;
    }
    const first = v[k + 1]!;
    const left = first > 0 ? -Math.sqrt(squares) : Math.sqrt(squares);
    beside[k] = left;
    v[k + 1] = first - left;
    const length = squares - left * first; // half of ‖v‖²
    if (!(length > 0)) continue; // zeros below
    let along = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += a[i * n + j]! * v[j]!;
      w[i] = sum / length;
      along += w[i]! * v[i]!;
    }
    for (let i = k + 1; i < n; i++) w[i]! -= (along / (2 * length)) * v[i]!;
    for (let i = k + 1; i < n; i++)
      for (let j = k + 1; j < n; j++) a[i * n + j]! -= v[i]! * w[j]! + w[i]! * v[j]!;
  }
  return { diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), beside };
}

/** QR steps on the last block that still has couplings, until none has. */
function diagonalize(diagonal: Float64Array, beside: Float64Array, small: number): void {
  const apart = (i: number): boolean => Math.abs(beside[i]!) <= small;
  let steps = kMostSteps * diagonal.length;
  for (let last = diagonal.length - 1; last > 0 && steps > 0; ) {
    if (apart(last - 1)) {
      last--;
      continue;
    }
    let first = last - 1;
    while (first > 0 && !apart(first - 1)) first--;
    step(diagonal, beside, first, last);
    steps--;
  }
}

/** One step on the block from `first` to `last`: a rotation by the shift, and those that chase what it leaves out of the band. */
function step(d: Float64Array, e: Float64Array, first: number, last: number): void {
  const coupling = e[last - 1]!;
  const half = (d[last - 1]! - d[last]!) / 2;
  const reach = Math.hypot(half, coupling);
  const shift = d[last]! - coupling ** 2 / (half + (half < 0 ? -reach : reach));
  let x = d[first]! - shift;
  let z = e[first]!;
  for (let k = first; k < last; k++) {
    const r = Math.hypot(x, z);
    const c = r > 0 ? x / r : 1;
    const s = r > 0 ? z / r : 0;
    if (k > first) e[k - 1] = r;
    const [p, q, between] = [d[k]!, d[k + 1]!, e[k]!];
    d[k] = c * c * p + 2 * c * s * between + s * s * q;
    d[k + 1] = s * s * p - 2 * c * s * between + c * c * q;
    e[k] = c * s * (q - p) + (c * c - s * s) * between;
    if (k === last - 1) break;
    x = e[k]!;
    z = s * e[k + 1]!;
    e[k + 1]! *= c;
  }
}

/**
 * How many singular directions of a matrix [rows, columns] hold `share` of its variance, the sum of the squared singular
 * values (Biderman et al. 2405.09673, §6): by the eigenvalues of the Gram matrix of its shorter side, in float64. 0 for a
 * matrix of zeros.
 */
export function rankForVariance(
  matrix: ArrayLike<number>,
  rows: number,
  columns: number,
  share = 0.9,
): number {
  const variances = symmetricEigenvalues(gram(matrix, rows, columns), Math.min(rows, columns)).map((v) =>
    Math.max(v, 0),
  );
  const total = variances.reduce((sum, v) => sum + v, 0);
  if (!(total > 0)) return 0;
  let held = 0;
  // The last bits of two sums of the same numbers may differ.
  const needed = total * share * (1 - 1e-12);
  for (const [i, variance] of variances.entries()) {
    held += variance;
    if (held >= needed) return i + 1;
  }
  return variances.length;
}

/** M·Mᵀ or Mᵀ·M, whichever is smaller. */
function gram(matrix: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const wide = rows <= columns;
  const [n, k] = wide ? [rows, columns] : [columns, rows];
  // Row after row of the shorter side, so that both factors of a product lie in order.
  const m = Float64Array.from({ length: n * k }, (_, i) =>
    wide ? matrix[i]! : matrix[(i % k) * columns + Math.floor(i / k)]!,
  );
  const product = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      let sum = 0;
      for (let x = 0; x < k; x++) sum += m[i * k + x]! * m[j * k + x]!;
      product[i * n + j] = product[j * n + i] = sum;
    }
  }
  return product;
}
