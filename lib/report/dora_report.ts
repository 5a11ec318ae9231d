import type { RangeBar, Section } from "./sections.ts";

/** Final over initial magnitude of a module's rows: their mean, lowest and highest. */
export interface MagnitudeChange {
  /** Module path, such as "layers.3.self_attn.q_proj". */
  path: string;
  mean: number;
  min: number;
  max: number;
}

/** Sections that show how far DoRA moved the magnitudes of each module, layer by layer. */
export function doraSections(changes: readonly MagnitudeChange[]): Section[] {
  const groups = new Map<string, RangeBar[]>();
  for (const { path, mean, min, max } of [...changes].sort((a, b) => layerOf(a.path) - layerOf(b.path))) {
    const layer = layerOf(path);
    const name = layer < 0 ? "Outside of the layers" : `Layer ${layer}`;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name)!.push({ name: layer < 0 ? path : path.replace(kLayer, ""), mean, min, max });
  }
  return [
    {
      kind: "rangeBars",
      title: "DoRA magnitudes",
      note: "Final over initial magnitude: bars show the mean over a module's rows, whiskers the lowest and the highest row; 1 is no change.",
      valueLabel: "mean",
      reference: 1,
      groups: [...groups].map(([name, bars]) => ({ name, bars })),
    },
  ];
}

const kLayer = /^(?:.*\.)?layers\.(\d+)\./;

/** Number of the layer that a module is part of; -1 for none. */
function layerOf(path: string): number {
  return Number(kLayer.exec(path)?.[1] ?? -1);
}
