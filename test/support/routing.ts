/** The slow and obvious forms of what a router does, for oracles. */

/** Softmax of each row of `width` values. */
export function softmaxRows(logits: Float64Array, width: number): Float64Array {
  return logits.map((_, i) => {
    const row = logits.subarray(i - (i % width), i - (i % width) + width);
    const largest = Math.max(...row);
    return Math.exp(logits[i]! - largest) / row.reduce((sum, z) => sum + Math.exp(z - largest), 0);
  });
}

/** Indices of the k largest, best first, the lower index on ties. */
export const topOf = (row: ArrayLike<number>, k: number): number[] =>
  Array.from({ length: row.length }, (_, e) => e)
    .sort((a, b) => row[b]! - row[a]! || a - b)
    .slice(0, k);

/** Stable order of slots by expert: where experts begin, and slot ↔ position. */
export function sorted(experts: ArrayLike<number>, expertCount: number) {
  const slots = Array.from({ length: experts.length }, (_, slot) => slot);
  slots.sort((a, b) => experts[a]! - experts[b]! || a - b);
  const positions = new Int32Array(slots.length);
  slots.forEach((slot, position) => {
    positions[slot] = position;
  });
  const offsets = Int32Array.from(
    { length: expertCount + 1 },
    (_, e) => slots.filter((slot) => experts[slot]! < e).length,
  );
  return { offsets, slots: Int32Array.from(slots), positions };
}
