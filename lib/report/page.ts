import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { writeFileAtomically, writeFully } from "../io/atomic.ts";
import { curvesHtml } from "./curves.ts";
import { kCurvesScript } from "./curves_script.ts";
import { escapeHtml } from "./escape.ts";
import { heatMapHtml } from "./heat_map.ts";
import { kHeatMapScript } from "./heat_map_script.ts";
import { rangeBarsHtml } from "./range_bars.ts";
import { samplesHtml } from "./samples.ts";
import { scatterHtml } from "./scatter.ts";
import type { Report, Section } from "./sections.ts";
import { kStyle } from "./style.ts";
import { factsHtml, tableHtml, textHtml } from "./table.ts";

/** Writes a report as one HTML file that needs nothing else: no network, no server, no second file. */
export async function writeReport(file: string, report: Report): Promise<void> {
  const html = await renderReport(report);
  await writeFileAtomically(file, (handle) => writeFully(handle, Buffer.from(html)));
}

/**
 * The page as a string. Its content security policy names the hashes of its own scripts: even if a text were ever to
 * break out of its element, the browser would neither run it nor load anything for it.
 */
export async function renderReport(report: Report): Promise<string> {
  const { title, created, settings, sections } = report;
  const uplot = await readUplot();
  const scripts: string[] = [];
  if (sections.some((s) => s.kind === "curves")) scripts.push(uplot.script, kCurvesScript);
  if (sections.some((s) => s.kind === "heatMap")) scripts.push(kHeatMapScript);
  const hashes = scripts.map((s) => `'sha256-${createHash("sha256").update(s).digest("base64")}'`).join(" ");
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src ${hashes || "'none'"}`;
  const time = `${created.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${uplot.style}</style>
<style>${kStyle}</style>
</head>
<body>
<header>
<h1 dir="auto">${escapeHtml(title)}</h1>
<p class="created">Created <time datetime="${created.toISOString()}">${time}</time> by mixwright</p>
${sections.length > 3 ? contents(sections) : ""}
</header>
<main>
${Object.keys(settings).length > 0 ? `<section class="card settings"><h2>Settings</h2>${factsHtml(settings)}</section>` : ""}
${sections.map(sectionHtml).join("\n")}
</main>
${scripts.map((s) => `<script>${s}</script>`).join("\n")}
</body>
</html>
`;
}

function contents(sections: readonly Section[]): string {
  const items = sections.map((s, i) => `<li><a href="#section-${i}">${escapeHtml(s.title)}</a></li>`);
  return `<nav aria-label="Contents"><ul>${items.join("")}</ul></nav>`;
}

function sectionHtml(section: Section, index: number): string {
  const half = section.kind === "curves" && !section.wide;
  const note = section.note === undefined ? "" : `<p class="note">${escapeHtml(section.note)}</p>`;
  return `<section class="card ${section.kind}${half ? " half" : ""}" id="section-${index}" aria-labelledby="title-${index}">
<h2 id="title-${index}">${escapeHtml(section.title)}</h2>${note}
${contentHtml(section)}
</section>`;
}

function contentHtml(section: Section): string {
  switch (section.kind) {
    case "curves":
      return curvesHtml(section);
    case "heatMap":
      return heatMapHtml(section);
    case "scatter":
      return scatterHtml(section);
    case "rangeBars":
      return rangeBarsHtml(section);
    case "samples":
      return samplesHtml(section);
    case "table":
      return tableHtml(section);
    case "facts":
      return factsHtml(section.facts);
    case "text":
      return textHtml(section);
  }
}

/** uPlot as its package ships it, with its licence. */
async function readUplot(): Promise<{ script: string; style: string }> {
  const folder = path.dirname(createRequire(import.meta.url).resolve("uplot/package.json"));
  const read = (name: string): Promise<string> => readFile(path.join(folder, name), "utf8");
  const [script, style, licence] = await Promise.all([
    read("dist/uPlot.iife.min.js"),
    read("dist/uPlot.min.css"),
    read("LICENSE"),
  ]);
  return { script: `/*\n${licence}*/\n${script}`, style };
}
