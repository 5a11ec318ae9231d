/** The page's script that draws every chart with uPlot, and again when the colour scheme changes. */
export const kCurvesScript = `(() => {
"use strict";
const charts = new Map();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const kColours = 6;
const dashes = [undefined, [8, 4], [2, 3], [12, 3, 3, 3]];

function text(v) {
  if (v == null || !Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  if (size !== 0 && (size < 1e-3 || size >= 1e15)) return String(Number(v.toPrecision(4)).toExponential());
  if (Number.isInteger(v) || size >= 1e4) return v.toLocaleString("en-US", { maximumFractionDigits: 0 });
  return v.toLocaleString("en-US", { maximumSignificantDigits: 4 });
}

function seriesOf(data) {
  let colour = 0;
  return data.series.map((s, i) => {
    const own = colour % kColours;
    const dash = dashes[Math.floor(colour / kColours) % dashes.length];
    if (!s.faint) colour++;
    return {
      label: s.name,
      stroke: css("--series-" + own) + (s.faint ? "59" : ""),
      width: s.faint ? 1 : 2,
      dash,
      spanGaps: false,
      points: { size: 6, show: s.x.length <= 40, fill: css("--series-" + own) },
      value: (u, v) => text(v),
    };
  });
}

/** Every series at its last value: the legend's state of rest. */
function rest(u) {
  const last = u.data.map((ys) => { let i = ys.length - 1; while (i > 0 && ys[i] == null) i--; return i; });
  u.setLegend({ idxs: last }, false);
}

/** Ticks of a log axis: round numbers within a decade, else some or all of 1, 2 and 5 times powers of ten. */
function logTicks(low, high) {
  const ticks = [];
  if (high / low < 8) {
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
    return ticks;
  }
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const every = Math.ceil((last - first) / 8);
  for (let e = first; e <= last; e += every) {
    for (const m of high / low > 300 ? [1] : [1, 2, 5]) ticks.push(m * 10 ** e);
  }
  return ticks.filter((t) => t >= low && t <= high);
}

const logRange = (u, low, high) => (low == null ? [1, 10] : [low / 1.1, high * 1.1]);

function axis(label, side, log) {
  return {
    label, side, stroke: css("--muted"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
    labelSize: 22, labelGap: 2, gap: 6, space: side === 2 ? 60 : 36,
    grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1, size: 4 },
    values: (u, splits) => splits.map((v) => (v == null ? "" : text(v))),
    ...(log ? { splits: (u, i, low, high) => logTicks(low, high), filter: (u, splits) => splits } : {}),
    size: side === 2 ? 34 : (u, values) => 14 + 7 * Math.max(2, ...(values || []).map((v) => v.length)),
  };
}

/** Vertical lines where a phase begins, each with its name beside it where there is room. */
function borders(u, data) {
  const { ctx, bbox } = u;
  const dots = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = css("--muted");
  ctx.lineWidth = dots;
  ctx.font = 11 * dots + "px system-ui, sans-serif";
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  const places = data.borders.map(({ x }) => u.valToPos(x, "x", true));
  data.borders.forEach(({ name }, i) => {
    const at = Math.round(places[i]);
    if (at < bbox.left || at > bbox.left + bbox.width) return;
    ctx.setLineDash([4 * dots, 4 * dots]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    const room = Math.min(places[i + 1] ?? Infinity, bbox.left + bbox.width) - at - 8 * dots;
    if (ctx.measureText(name).width <= room) ctx.fillText(name, at + 4 * dots, bbox.top + 3 * dots);
  });
  ctx.restore();
}

function size(box, data) {
  return { width: Math.floor(box.clientWidth), height: data.wide && box.clientWidth > 700 ? 340 : 240 };
}

function draw(box, data) {
  charts.get(box)?.destroy();
  const aligned = uPlot.join(data.series.map((s) => [s.x, s.y]));
  const chart = new uPlot({
    ...size(box, data),
    scales: { x: { time: false }, y: data.log ? { distr: 3, range: logRange } : {} },
    axes: [axis(data.xLabel, 2), axis(data.yLabel, 3, data.log)],
    series: [{ label: data.xLabel, value: (u, v) => text(v) }, ...seriesOf(data)],
    cursor: { y: false, points: { size: 8 }, sync: { key: "x: " + data.xLabel, scales: ["x", null] } },
    hooks: { ready: [rest], draw: [(u) => borders(u, data)], setCursor: [(u) => { if (u.cursor.idx == null) rest(u); }] },
  }, aligned, box);
  charts.set(box, chart);
  const canvas = chart.ctx.canvas;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", data.summary);
  box.querySelectorAll(".u-series:not(:first-child) th").forEach((th) => {
    const shown = () => th.setAttribute("aria-pressed", String(!th.parentNode.classList.contains("u-off")));
    th.tabIndex = 0;
    th.setAttribute("role", "button");
    th.title = "Show or hide";
    th.addEventListener("click", () => setTimeout(shown));
    th.addEventListener("keydown", (e) => {
      if (e.key === "Enter" || e.key === " ") { e.preventDefault(); th.click(); }
    });
    shown();
  });
}

const boxes = [...document.querySelectorAll(".chart")];
const dataOf = new Map(boxes.map((box) => [box, JSON.parse(box.nextElementSibling.textContent)]));
const drawAll = () => dataOf.forEach((data, box) => draw(box, data));
drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const chart = charts.get(target);
    const wanted = size(target, dataOf.get(target));
    if (chart.width !== wanted.width || chart.height !== wanted.height) chart.setSize(wanted);
  }
});
for (const box of boxes) observer.observe(box);
})();`;
