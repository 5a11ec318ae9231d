import { expect, test } from "vitest";
import { kMostMarks, scatterHtml } from "../../lib/report/scatter.ts";
import type { Scatter, ScatterSeries } from "../../lib/report/sections.ts";

const plot = (...series: ScatterSeries[]): string =>
  scatterHtml({ kind: "scatter", title: "Plot", xLabel: "x", yLabel: "y", series } satisfies Scatter);
const marksIn = (html: string): number => html.match(/<path class="mark"[^>]*><title>/g)?.length ?? 0;

test("marks stand where their numbers say, and say them", () => {
  const html = plot({
    name: "runs",
    points: [
      { x: 0, y: 10, label: "first" },
      { x: 10, y: 20 },
    ],
  });
  const places = [...html.matchAll(/d="M([\d.]+),([\d.]+)m[^"]*"><title>/g)].map(([, x, y]) => [
    Number(x),
    Number(y),
  ]);
  const [[x0, y0], [x1, y1]] = places as [[number, number], [number, number]];
  expect(x1).toBeGreaterThan(x0);
  expect(y1).toBeLessThan(y0); // up is less in a drawing
  expect(html).toContain("<title>first: x 0, y 10</title>");
  expect(html).toContain("<title>runs: x 10, y 20</title>");
  expect(html).toContain("runs: 2 marks, the last at 10, 20.");
});

test("what is not a finite number is left out", () => {
  const html = plot({
    name: "a",
    points: [
      { x: Number.NaN, y: 1 },
      { x: 1, y: Number.POSITIVE_INFINITY },
      { x: 1, y: 1 },
    ],
  });
  expect(marksIn(html)).toBe(1);
  expect(html).not.toMatch(/NaN|Infinity/);
  expect(plot({ name: "a", points: [{ x: Number.NaN, y: 1 }] })).toBe(
    `<p class="empty">There are no values to draw.</p>`,
  );
  expect(plot()).toContain("There are no values to draw.");
});

test("very many marks are thinned, and one alone is drawn", () => {
  const points = Array.from({ length: 200_000 }, (_, i) => ({ x: i, y: -i }));
  const shown = marksIn(plot({ name: "many", points }));
  expect(shown).toBeLessThanOrEqual(kMostMarks);
  expect(shown).toBeGreaterThan(kMostMarks / 2);
  expect(plot({ name: "one", points: [{ x: 0, y: 0 }] })).not.toMatch(/NaN|Infinity/);
});

test("a line joins marks, and the seventh series has another shape", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 1, y: 1 },
  ];
  const html = plot(...Array.from({ length: 7 }, (_, i) => ({ name: `s${i}`, points, line: i === 0 })));
  expect(html.match(/<polyline/g)).toHaveLength(1);
  const shapes = [...html.matchAll(/<g style="--colour:var\(--series-0\)">.*?d="M[\d.,]+(m[^"]*)"/gs)];
  expect(new Set(shapes.map(([, shape]) => shape)).size).toBe(2);
});

test("a line on its own has no marks and takes no colour", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 1, y: 1 },
  ];
  const html = plot({ name: "front", points, line: "only" }, { name: "runs", points });
  expect(marksIn(html)).toBe(2);
  expect(html).toMatch(/<g class="only"><polyline[^>]*\/><\/g>\s*<g style="--colour:var\(--series-0\)">/);
});
