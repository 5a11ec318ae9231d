/** How far a weight has moved, in its two parts (DoRA, Liu et al. 2402.09353, §3.2). */
export interface Drift {
  /** Mean over the rows of |‖w‖ − ‖w₀‖|. */
  magnitude: number;
  /** Mean over the rows of 1 − cos(w, w₀). */
  direction: number;
}

/**
 * ΔM and ΔD of a weight [rows, columns]. A row is an output feature, as in every implementation of DoRA; the paper writes the
 * weight transposed and speaks of columns. A row of zeros has no direction, and counts as not turned.
 */
export function driftOf(
  before: ArrayLike<number>,
  after: ArrayLike<number>,
  rows: number,
  columns: number,
): Drift {
  let magnitude = 0;
  let direction = 0;
  for (let r = 0; r < rows; r++) {
    let [was, is, both] = [0, 0, 0];
    for (let i = r * columns; i < (r + 1) * columns; i++) {
      was += before[i]! * before[i]!;
      is += after[i]! * after[i]!;
      both += before[i]! * after[i]!;
    }
    magnitude += Math.abs(Math.sqrt(is) - Math.sqrt(was));
    const norms = Math.sqrt(was) * Math.sqrt(is);
    if (norms > 0) direction += Math.max(0, 1 - both / norms);
  }
  return { magnitude: magnitude / rows, direction: direction / rows };
}

/** Pearson's correlation; NaN for fewer than two pairs, or where one side doesn't vary. */
export function correlation(pairs: readonly (readonly [x: number, y: number])[]): number {
  const n = pairs.length;
  const meanX = pairs.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = pairs.reduce((sum, [, y]) => sum + y, 0) / n;
  let [xx, yy, xy] = [0, 0, 0];
  for (const [x, y] of pairs) {
    xx += (x - meanX) ** 2;
    yy += (y - meanY) ** 2;
    xy += (x - meanX) * (y - meanY);
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : Number.NaN;
}
