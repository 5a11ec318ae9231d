/** Rotations that leave every off-diagonal entry below this share of the matrix's size end the iteration. */
const kTolerance = 1e-14;
const kMostSweeps = 60;

/**
 * Eigenvalues of a symmetric matrix [n, n], largest first: cyclic Jacobi rotations in float64 (Golub and Van Loan, Matrix
 * Computations, §8.5). Its time grows with n³: a second at n = 256, ten at 512. `matrix` is overwritten.
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const size = Math.sqrt(matrix.reduce((sum, v) => sum + v * v, 0));
  const small = kTolerance * size;
  for (let sweep = 0, rotated = true; rotated && sweep < kMostSweeps; sweep++) {
    rotated = false;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(matrix[p * n + q]!) <= small) continue;
        rotate(matrix, n, p, q);
        rotated = true;
      }
    }
  }
  return Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]!).sort((a, b) => b - a);
}

/** The rotation in the plane of p and q that makes entry (p, q) zero. */
function rotate(a: Float64Array, n: number, p: number, q: number): void {
  const [pp, qq, pq] = [a[p * n + p]!, a[q * n + q]!, a[p * n + q]!];
  const theta = (qq - pp) / (2 * pq);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const kp = a[p * n + k]!;
    const kq = a[q * n + k]!;
    const newP = c * kp - s * kq;
    const newQ = s * kp + c * kq;
    a[p * n + k] = a[k * n + p] = newP;
    a[q * n + k] = a[k * n + q] = newQ;
  }
  a[p * n + p] = pp - t * pq;
  a[q * n + q] = qq + t * pq;
  a[p * n + q] = a[q * n + p] = 0;
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
