/** What a report shows. All of it is data: any string may hold anything, model output included. */
export interface Report {
  title: string;
  created: Date;
  settings: Readonly<Record<string, string | number>>;
  sections: readonly Section[];
}

export type Section = Curves | HeatMap | Scatter | RangeBars | Samples | Table | Facts | Text;

interface Heading {
  title: string;
  /** A sentence under the heading: what is shown, and how to read it. */
  note?: string;
}

export interface Series {
  name: string;
  /** In order of x. A y that is not a finite number leaves a gap. */
  points: readonly (readonly [x: number, y: number])[];
  /** Drawn thin and pale, in the colour of the series that follows: noise behind its smoothed curve. */
  faint?: boolean;
}

/** Lines over a common x axis. */
export interface Curves extends Heading {
  kind: "curves";
  xLabel: string;
  yLabel: string;
  series: readonly Series[];
  /** Logarithmic y axis: values of zero and below leave gaps. */
  log?: boolean;
  /** Where something else begins: vertical lines with names. */
  borders?: readonly { x: number; name: string }[];
  /** Takes the full width of the page, where others share it in pairs. */
  wide?: boolean;
}

/** A matrix as coloured cells, at one time or at several. */
export interface HeatMap extends Heading {
  kind: "heatMap";
  rowLabel: string;
  columnLabel: string;
  rows: readonly string[];
  columns: readonly string[];
  /** In order of time, the last shown first. `values` has rows × columns numbers. */
  frames: readonly { name: string; values: readonly (readonly number[])[] }[];
  /** The value of perfect balance: it gets the neutral colour, and others their distance from it in doublings. */
  balanced?: number;
  percent?: boolean;
}

/** Things as marks in the plane of two of their numbers. */
export interface Scatter extends Heading {
  kind: "scatter";
  xLabel: string;
  yLabel: string;
  series: readonly ScatterSeries[];
}

export interface ScatterSeries {
  name: string;
  /** One whose x or y is not a finite number is left out. `label` is what pointing at a mark says first. */
  points: readonly { x: number; y: number; label?: string }[];
  /** The marks are joined in their order; "only": by a dashed line that has no marks of its own. */
  line?: boolean | "only";
}

/** Range and mean of many things as horizontal bars from a common reference. */
export interface RangeBars extends Heading {
  kind: "rangeBars";
  valueLabel: string;
  reference: number;
  groups: readonly { name: string; bars: readonly RangeBar[] }[];
}

export interface RangeBar {
  name: string;
  mean: number;
  min: number;
  max: number;
}

/** Texts side by side, such as answers before and after training. */
export interface Samples extends Heading {
  kind: "samples";
  /** One heading for each text of a sample, such as "Before" and "After". */
  columns: readonly string[];
  /** What a sample's first line is. Default "Prompt". */
  heading?: string;
  samples: readonly { prompt: string; texts: readonly string[] }[];
}

export interface Table extends Heading {
  kind: "table";
  columns: readonly string[];
  rows: readonly (readonly (string | number)[])[];
}

/** A few named values, set large. */
export interface Facts extends Heading {
  kind: "facts";
  facts: Readonly<Record<string, string | number>>;
}

export interface Text extends Heading {
  kind: "text";
  /** An empty line begins a new paragraph. */
  text: string;
}
