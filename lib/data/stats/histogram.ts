import type { Measure } from "./measures.ts";

/** How often values fell where, and enough to say their mean. Histograms of one measure can be added up. */
export interface Histogram {
  /** Of a share: hundredths, 0.00–0.01 first, those of 1 and more last. Of a count: see boundOf; sparse, by index. */
  bins: Record<string, number>;
  values: number;
  sum: number;
}

export const noValues = (): Histogram => ({ bins: {}, values: 0, sum: 0 });

/** Bins of a count for each doubling. */
const kPerDoubling = 4;

function binOf(kind: Measure["kind"], value: number): number {
  if (kind === "share") return Math.min(100, Math.floor(value * 100));
  return value < 1 ? 0 : 1 + Math.floor(Math.log2(value) * kPerDoubling);
}

/** Where bin `index` begins: of a count 0, then the powers of the fourth root of 2 from 1 on. */
export const boundOf = (kind: Measure["kind"], index: number): number =>
  kind === "share" ? index / 100 : index === 0 ? 0 : 2 ** ((index - 1) / kPerDoubling);

/** Counts a value; NaN is none. */
export function addValue(histogram: Histogram, kind: Measure["kind"], value: number): void {
  if (Number.isNaN(value)) return;
  const bin = binOf(kind, value);
  histogram.bins[bin] = (histogram.bins[bin] ?? 0) + 1;
  histogram.values++;
  histogram.sum += value;
}

export function addHistogram(to: Histogram, from: Histogram): void {
  for (const [bin, n] of Object.entries(from.bins)) to.bins[bin] = (to.bins[bin] ?? 0) + n;
  to.values += from.values;
  to.sum += from.sum;
}

/** Lower bound of each bin up to the last one with values, and the share of all values that it holds. */
export function curveOf({ bins, values }: Histogram, kind: Measure["kind"]): [number, number][] {
  const last = Math.max(-1, ...Object.keys(bins).map(Number));
  return Array.from({ length: last + 1 }, (_, i) => [boundOf(kind, i), (bins[i] ?? 0) / values]);
}

export const meanOf = ({ sum, values }: Histogram): number => sum / values;
