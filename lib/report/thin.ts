/** Points kept of a series: more than a screen has columns. */
export const kMostPoints = 4000;

/**
 * Thins a long series so that it looks the same: of each run of neighbours the lowest and the highest stay, and one
 * that is not a finite number, with the very first and last point.
 */
export function thin<P extends readonly [number, number]>(points: readonly P[]): readonly P[] {
  if (points.length <= kMostPoints) return points;
  const run = Math.ceil(points.length / (kMostPoints / 2));
  const kept: P[] = [points[0]!];
  for (let begin = 0; begin < points.length; begin += run) {
    let low = -1;
    let high = -1;
    let gap = -1;
    for (let i = begin; i < Math.min(begin + run, points.length); i++) {
      const y = points[i]![1];
      if (!Number.isFinite(y)) gap = i;
      else {
        if (low < 0 || y < points[low]![1]) low = i;
        if (high < 0 || y >= points[high]![1]) high = i;
      }
    }
    for (const i of [...new Set([low, high, gap])].sort((a, b) => a - b)) if (i > 0) kept.push(points[i]!);
  }
  if (kept.at(-1) !== points.at(-1)) kept.push(points.at(-1)!);
  return kept;
}
