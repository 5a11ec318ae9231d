// Charts as SVG files that need nothing else, for the scripts in bench/papers.
import { escapeHtml } from "../../lib/report/escape.ts";
import { halfInterval, mean } from "./findings.ts";

/** Legible on white and for colour-blind readers (Okabe and Ito, then Tol). */
const kColours = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#000000",
  "#882255",
  "#999933",
  "#332288",
  "#999999",
  "#44aa99",
  "#ddcc77",
];
const kWidth = 820;
const kHeight = 440;
const kLeft = 70;
const kRight = 20;
const kTop = 74;
const kLegendWidth = 250;

interface Axes {
  title: string;
  xLabel?: string;
  yLabel: string;
}

export interface BarChart extends Axes {
  groups: readonly string[];
  /** For each group the values of which mean and 95 % interval are drawn. */
  series: readonly { name: string; values: readonly (readonly number[])[] }[];
}

export interface Point {
  x: number;
  y: number;
  low: number;
  high: number;
}

export interface LineChart extends Axes {
  series: readonly { name: string; points: readonly Point[] }[];
  /** False: the vertical axis spans the values alone. Default true. */
  fromZero?: boolean;
}

export interface ScatterChart extends Axes {
  /** Points of one colour, each with a name beside it where it has one. */
  series: readonly { name: string; points: readonly { x: number; y: number; label?: string }[] }[];
}

/** Shares by row and column, as colours and numbers. */
export interface HeatMap {
  title: string;
  columns: readonly string[];
  columnLabel: string;
  rows: readonly { name: string; values: readonly number[] }[];
  /** The share that is neither more nor less: white. Half and double of it have full colour. */
  balanced: number;
}

const round = (x: number): string => String(Math.round(x * 10) / 10);
const text = (x: number, y: number, words: string, more = ""): string =>
  `<text x="${round(x)}" y="${round(y)}" ${more}>${escapeHtml(words)}</text>`;

/** Round numbers that span low to high: 1, 2 or 5 times a power of ten apart. */
export function ticksOf(low: number, high: number): number[] {
  const span = high > low ? high - low : Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 5));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => span / s <= 6)!;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

interface Frame {
  x: (value: number) => number;
  y: (value: number) => number;
  parts: string[];
  bottom: number;
}

/** Title, axes and legend; `room` below is for names of groups. */
function frameOf(axes: Axes, names: readonly string[], ys: readonly number[], xs?: readonly number[]): Frame {
  const rows = Math.ceil(names.length / 3);
  const top = kTop + (rows - 1) * 18;
  const bottom = kHeight - 60;
  const ticks = ticksOf(Math.min(...ys), Math.max(...ys));
  const [low, high] = [ticks[0]!, ticks.at(-1)!];
  const y = (value: number): number => bottom - ((value - low) / (high - low)) * (bottom - top);
  const parts = [text(kLeft, 24, axes.title, `font-size="15" font-weight="bold"`)];
  names.forEach((name, i) => {
    const [left, line] = [kLeft + (i % 3) * kLegendWidth, 46 + Math.floor(i / 3) * 18];
    const colour = kColours[i % kColours.length]!;
    parts.push(`<rect x="${left}" y="${line - 9}" width="12" height="10" fill="${colour}"/>`);
    parts.push(text(left + 18, line, name));
  });
  for (const tick of ticks) {
    parts.push(`<path d="M${kLeft} ${round(y(tick))}H${kWidth - kRight}" stroke="#ddd"/>`);
    parts.push(text(kLeft - 8, y(tick) + 4, String(tick), `text-anchor="end"`));
  }
  parts.push(
    text(
      0,
      0,
      axes.yLabel,
      `transform="translate(18 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle"`,
    ),
  );
  if (axes.xLabel) parts.push(text((kLeft + kWidth) / 2, kHeight - 14, axes.xLabel, `text-anchor="middle"`));
  let x = (value: number): number => value;
  if (xs) {
    const across = ticksOf(Math.min(...xs), Math.max(...xs));
    const [first, last] = [across[0]!, across.at(-1)!];
    x = (value) => kLeft + ((value - first) / (last - first)) * (kWidth - kRight - kLeft);
    for (const tick of across) parts.push(text(x(tick), bottom + 18, String(tick), `text-anchor="middle"`));
  }
  return { x, y, parts, bottom };
}

const whole = (parts: readonly string[], height = kHeight): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${kWidth} ${height}" width="${kWidth}" height="${height}"` +
  ` font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>\n${parts.join("\n")}\n</svg>\n`;

/** Bars of means with whiskers of 95 % intervals, from zero. */
export function barChart(chart: BarChart): string {
  const { groups, series } = chart;
  const half = (values: readonly number[]): number => halfInterval(values) || 0;
  const bars = series.flatMap(({ values }) => values.map((v) => ({ at: mean(v), half: half(v) })));
  const ys = [0, ...bars.flatMap((bar) => [bar.at - bar.half, bar.at + bar.half])].filter(Number.isFinite);
  const { y, parts, bottom } = frameOf(
    chart,
    series.map(({ name }) => name),
    ys,
  );
  const wide = (kWidth - kRight - kLeft) / groups.length;
  const bar = (wide * 0.8) / series.length;
  groups.forEach((group, g) => {
    parts.push(text(kLeft + wide * (g + 0.5), bottom + 18, group, `text-anchor="middle"`));
    series.forEach(({ values }, s) => {
      const value = mean(values[g]!);
      if (!Number.isFinite(value)) return;
      const left = kLeft + wide * (g + 0.1) + bar * s;
      const [from, to] = [y(Math.max(0, value)), y(Math.min(0, value))];
      const colour = kColours[s % kColours.length]!;
      parts.push(
        `<rect x="${round(left)}" y="${round(from)}" width="${round(bar * 0.94)}" height="${round(Math.max(to - from, 0.5))}" fill="${colour}"/>`,
      );
      const whisker = half(values[g]!);
      const middle = round(left + bar * 0.47);
      if (whisker > 0)
        parts.push(
          `<path d="M${middle} ${round(y(value - whisker))}V${round(y(value + whisker))}" stroke="#222" stroke-width="1.5"/>`,
        );
    });
  });
  return whole(parts);
}

/** Lines, each in a band from low to high. */
export function lineChart(chart: LineChart): string {
  const points = chart.series.flatMap((one) => one.points);
  const { x, y, parts } = frameOf(
    chart,
    chart.series.map(({ name }) => name),
    [...(chart.fromZero === false ? [] : [0]), ...points.flatMap(({ low, high }) => [low, high])],
    points.map((point) => point.x),
  );
  const at = (px: number, py: number): string => `${round(x(px))} ${round(y(py))}`;
  chart.series.forEach((one, s) => {
    const colour = kColours[s % kColours.length]!;
    const around = [
      ...one.points.map((p) => at(p.x, p.high)),
      ...[...one.points].reverse().map((p) => at(p.x, p.low)),
    ];
    parts.push(`<path d="M${around.join("L")}Z" fill="${colour}" fill-opacity="0.15"/>`);
    parts.push(
      `<path d="M${one.points.map((p) => at(p.x, p.y)).join("L")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    );
  });
  return whole(parts);
}

/** Points with names. */
export function scatterChart(chart: ScatterChart): string {
  const points = chart.series.flatMap((one) => one.points);
  const { x, y, parts } = frameOf(
    chart,
    chart.series.map(({ name }) => name),
    points.map((point) => point.y),
    points.map((point) => point.x),
  );
  chart.series.forEach((one, s) => {
    for (const point of one.points) {
      const [left, up] = [x(point.x), y(point.y)];
      parts.push(
        `<circle cx="${round(left)}" cy="${round(up)}" r="4" fill="${kColours[s % kColours.length]!}"/>`,
      );
      if (point.label) parts.push(text(left + 6, up - 5, point.label, `font-size="10"`));
    }
  });
  return whole(parts);
}

const kNames = 210;
const kCellHeight = 22;

/** A table of shares in per cent, coloured by how far each is from balance. */
export function heatMap({ title, columns, columnLabel, rows, balanced }: HeatMap): string {
  const wide = (kWidth - kRight - kNames) / columns.length;
  const parts = [text(16, 24, title, `font-size="15" font-weight="bold"`)];
  const middle = (c: number): number => kNames + wide * (c + 0.5);
  parts.push(text(kNames - 8, 52, columnLabel, `text-anchor="end"`));
  columns.forEach((name, c) => {
    parts.push(text(middle(c), 52, name, `text-anchor="middle"`));
  });
  rows.forEach(({ name, values }, r) => {
    const top = 60 + r * kCellHeight;
    parts.push(text(kNames - 8, top + 15, name, `text-anchor="end"`));
    values.forEach((value, c) => {
      const colour = value > balanced ? kColours[1]! : kColours[0]!;
      const strength = Math.min(1, Math.abs(Math.log2(value / balanced)));
      const place = `x="${round(kNames + wide * c)}" y="${top}" width="${round(wide - 1)}" height="${kCellHeight - 1}"`;
      parts.push(`<rect ${place} fill="${colour}" fill-opacity="${(0.75 * strength).toFixed(3)}"/>`);
      parts.push(text(middle(c), top + 15, (100 * value).toFixed(1), `text-anchor="middle"`));
    });
  });
  const end = 60 + rows.length * kCellHeight;
  const scale = `Per cent. White: ${(100 * balanced).toFixed(1)}; full colour: half of it or less (blue), double or more (orange).`;
  parts.push(text(16, end + 22, scale));
  return whole(parts, end + 36);
}
