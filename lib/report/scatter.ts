import { escapeHtml } from "./escape.ts";
import { numberText } from "./number_text.ts";
import type { Scatter, ScatterSeries } from "./sections.ts";

const kWidth = 780;
const kHeight = 400;
const kMargin = { left: 70, right: 14, top: 10, bottom: 46 };
/** Colours of the style sheet; series beyond them get another shape. */
const kColours = 6;
/** Marks drawn of a series: with more, every so many-th. */
export const kMostMarks = 1500;

/** A drawing in the page itself, without a script: marks say on hover what they are. */
export function scatterHtml(section: Scatter): string {
  const series = section.series
    .map((s) => ({ ...s, points: s.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)) }))
    .filter((s) => s.points.length > 0);
  if (series.length === 0) return `<p class="empty">There are no values to draw.</p>`;
  const points = series.flatMap((s) => s.points);
  const x = axisOf(
    points.map((p) => p.x),
    kMargin.left,
    kWidth - kMargin.right,
  );
  const y = axisOf(
    points.map((p) => p.y),
    kHeight - kMargin.bottom,
    kMargin.top,
  );
  // A line on its own takes no colour, and lies under the marks.
  const marked = series.filter(({ line }) => line !== "only");
  const lines = series.filter(({ line }) => line === "only");
  const drawn = [
    ...lines.map((s) => ({
      s,
      html: `<g class="only">${joinHtml(s, x, y)}</g>`,
      icon: kLineIcon,
      colour: "muted",
    })),
    ...marked.map((s, i) => ({
      s,
      html: seriesHtml(s, i, section, x, y),
      icon: mark(i, 0, 0),
      colour: `series-${i % kColours}`,
    })),
  ];
  const legend = [...drawn.slice(lines.length), ...drawn.slice(0, lines.length)].map(
    ({ s, icon, colour }) =>
      `<li style="--colour:var(--${colour})"><svg viewBox="-7 -7 14 14" aria-hidden="true">${icon}</svg><bdi>${escapeHtml(s.name)}</bdi></li>`,
  );
  return `<figure class="marks"><div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(`${section.title}: plot`)}">
<svg viewBox="0 0 ${kWidth} ${kHeight}" role="img" aria-label="${escapeHtml(summary(section, series))}">
${gridHtml(section, x, y)}
${drawn.map(({ html }) => html).join("\n")}
</svg></div>
<ul class="legend">${legend.join("")}</ul></figure>`;
}

interface Axis {
  at(value: number): number;
  ticks: number[];
}

/** Ticks at round numbers, over all values and a little more. */
function axisOf(values: readonly number[], from: number, to: number): Axis {
  let low = values.reduce((a, b) => Math.min(a, b));
  let high = values.reduce((a, b) => Math.max(a, b));
  const margin = high > low ? 0.05 * (high - low) : Math.abs(low) || 1;
  low -= margin;
  high += margin;
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough)!;
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  const ticks = Array.from({ length: count }, (_, k) => Number(((first + k) * step).toPrecision(12)));
  return { at: (v) => from + ((v - low) / (high - low)) * (to - from), ticks };
}

function gridHtml({ xLabel, yLabel }: Scatter, x: Axis, y: Axis): string {
  const { left, right, top, bottom } = kMargin;
  const [end, floor] = [kWidth - right, kHeight - bottom];
  const line = (x1: string, y1: string, x2: string, y2: string, zero: boolean): string =>
    `<line class="${zero ? "zero" : "grid"}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
  const vertical = x.ticks.map((t) => {
    const at = pixel(x.at(t));
    return `${line(at, String(top), at, String(floor), t === 0)}<text x="${at}" y="${floor + 16}" text-anchor="middle">${numberText(t)}</text>`;
  });
  const horizontal = y.ticks.map((t) => {
    const at = pixel(y.at(t));
    return `${line(String(left), at, String(end), at, t === 0)}<text x="${left - 8}" y="${at}" dy=".35em" text-anchor="end">${numberText(t)}</text>`;
  });
  const middle = pixel((top + floor) / 2);
  return `${vertical.join("")}${horizontal.join("")}
<text x="${pixel((left + end) / 2)}" y="${kHeight - 8}" text-anchor="middle">${escapeHtml(xLabel)}</text>
<text x="14" y="${middle}" text-anchor="middle" transform="rotate(-90 14 ${middle})">${escapeHtml(yLabel)}</text>`;
}

function seriesHtml(
  { name, points, line }: ScatterSeries,
  index: number,
  { xLabel, yLabel }: Scatter,
  x: Axis,
  y: Axis,
): string {
  const every = Math.ceil(points.length / kMostMarks);
  const shown = points.filter((_, i) => i % every === 0);
  const marks = shown.map((p) => {
    const words = `${p.label ?? name}: ${xLabel} ${numberText(p.x)}, ${yLabel} ${numberText(p.y)}`;
    return mark(index, x.at(p.x), y.at(p.y), `<title>${escapeHtml(words)}</title>`);
  });
  return `<g style="--colour:var(--series-${index % kColours})">${line ? joinHtml({ points: shown }, x, y) : ""}${marks.join("")}</g>`;
}

function joinHtml({ points }: Pick<ScatterSeries, "points">, x: Axis, y: Axis): string {
  const join = points.map((p) => `${pixel(x.at(p.x))},${pixel(y.at(p.y))}`).join(" ");
  return `<polyline class="join" points="${join}"/>`;
}

const kLineIcon = `<path class="join" d="M-7,0h14"/>`;

/** Outlines around a centre: a circle's turn first, then a square's, a triangle's and a diamond's. */
const kShapes = [
  "m-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0",
  "m-4,-4h8v8h-8z",
  "m0,-5l5,9h-10z",
  "m0,-5.5l5,5.5l-5,5.5l-5,-5.5z",
];

function mark(index: number, x: number, y: number, title = ""): string {
  const shape = kShapes[Math.floor(index / kColours) % kShapes.length];
  return `<path class="mark" d="M${pixel(x)},${pixel(y)}${shape}">${title}</path>`;
}

const pixel = (value: number): string => value.toFixed(1);

/** What a reader who can't see the drawing should know. */
function summary({ xLabel, yLabel }: Scatter, series: readonly ScatterSeries[]): string {
  const parts = series.map(({ name, points }) => {
    const last = points.at(-1)!;
    const count = points.length === 1 ? "" : `${numberText(points.length)} marks, the last `;
    return `${name}: ${count}at ${numberText(last.x)}, ${numberText(last.y)}.`;
  });
  return `Scatter plot of ${yLabel} over ${xLabel}. ${parts.join(" ")}`;
}
