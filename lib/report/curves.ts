import { escapeHtml, jsonForScript } from "./escape.ts";
import { numberText } from "./number_text.ts";
import type { Curves, Series } from "./sections.ts";
import { thin } from "./thin.ts";

/** What the page's script draws a chart from; null is a gap. */
export interface ChartData {
  xLabel: string;
  yLabel: string;
  log: boolean;
  wide: boolean;
  summary: string;
  borders: { x: number; name: string }[];
  series: { name: string; faint: boolean; x: number[]; y: (number | null)[] }[];
}

export function chartData(section: Curves): ChartData {
  const { xLabel, yLabel, log = false, wide = false, borders = [] } = section;
  const begins = borders.map(({ x, name }) => ` ${name} begins at ${xLabel} ${numberText(x)}.`).join("");
  const drawable = (y: number): boolean => Number.isFinite(y) && (!log || y > 0);
  const series = section.series.filter((s) => s.points.some(([, y]) => drawable(y)));
  return {
    xLabel,
    yLabel,
    log,
    wide,
    summary: `Line chart of ${yLabel} over ${xLabel}. ${series.map(seriesSummary).join(" ")}${begins}`,
    borders: borders.map(({ x, name }) => ({ x, name })),
    series: series.map(({ name, faint = false, points }) => {
      const thinned = thin(points);
      return {
        name,
        faint,
        x: thinned.map(([x]) => x),
        y: thinned.map(([, y]) => (drawable(y) ? Number(y.toPrecision(6)) : null)),
      };
    }),
  };
}

export function curvesHtml(section: Curves): string {
  const data = chartData(section);
  if (data.series.length === 0) return `<p class="empty">There are no values to draw.</p>`;
  const count = section.series
    .filter((s) => !s.faint)
    .flatMap((s) => s.points.filter(([, y]) => !Number.isFinite(y))).length;
  const missing = count === 0 ? "" : `<p class="alarm">${notFinite(count)}</p>`;
  return `${missing}<figure>
<div class="chart"></div>
<script type="application/json">${jsonForScript(data)}</script>
<noscript><p>${escapeHtml(data.summary)}</p></noscript>
</figure>`;
}

function notFinite(count: number): string {
  return count === 1
    ? "1 value is not a finite number: the curve has a gap there."
    : `${numberText(count)} values are not finite numbers: the curves have gaps there.`;
}

/** First, last, lowest and highest value: what a reader who can't see the chart should know. */
function seriesSummary({ name, points }: Series): string {
  const finite = points.filter(([, y]) => Number.isFinite(y));
  const first = finite[0]!;
  const last = finite.at(-1)!;
  let low = first;
  let high = first;
  for (const point of finite) {
    if (point[1] < low[1]) low = point;
    if (point[1] > high[1]) high = point;
  }
  const at = ([x, y]: readonly [number, number]): string => `${numberText(y)} at ${numberText(x)}`;
  return `${name}: ${at(first)}, ${at(last)} at the end; lowest ${at(low)}, highest ${at(high)}.`;
}
