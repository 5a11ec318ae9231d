/** A point of a curve. */
export type Point = readonly [x: number, y: number];

/**
 * Mean over a window around each point, a fiftieth of the curve wide; towards the begin, where a loss falls steeply, it
 * narrows. What is not a finite number is left out, and stays so itself.
 */
export function smooth(points: readonly Point[]): Point[] {
  const half = Math.round(points.length / 100);
  const sums = new Float64Array(points.length + 1);
  const counts = new Int32Array(points.length + 1);
  for (const [i, [, y]] of points.entries()) {
    const finite = Number.isFinite(y);
    sums[i + 1] = sums[i]! + (finite ? y : 0);
    counts[i + 1] = counts[i]! + (finite ? 1 : 0);
  }
  return points.map(([x, y], i) => {
    const begin = i - Math.min(half, i);
    const end = Math.min(points.length, i + Math.min(half, i) + 1);
    return [x, Number.isFinite(y) ? (sums[end]! - sums[begin]!) / (counts[end]! - counts[begin]!) : y];
  });
}
