import { escapeHtml, jsonForScript } from "./escape.ts";
import { numberText, percentText } from "./number_text.ts";
import type { HeatMap } from "./sections.ts";

/** Doublings from balance at which the colour is full. */
const kFullDoublings = 2;
/** With more columns than this, cells show colours only; their values stay for screen readers and on hover. */
const kMostTextColumns = 16;

/** From -1 (full "less" colour) through 0 (neutral) to 1 (full "more" colour). */
export function heat(value: number, map: Pick<HeatMap, "balanced">, highest: number): number {
  if (!Number.isFinite(value)) return 0;
  if (map.balanced === undefined) return highest > 0 ? Math.max(0, value / highest) : 0;
  const doublings = Math.log2(Math.max(value, 0) / map.balanced) / kFullDoublings;
  return Math.min(1, Math.max(-1, doublings));
}

export function heatMapHtml(map: HeatMap): string {
  const last = map.frames.at(-1);
  if (!last || map.rows.length === 0) return `<p class="empty">There are no values to show.</p>`;
  const highest = highestValue(map);
  const wide = map.columns.length > kMostTextColumns;
  const every = wide ? Math.ceil(map.columns.length / kMostTextColumns) : 1;
  const heads = map.columns.map((name, i) => {
    const label = i % every === 0 ? escapeHtml(name) : `<span class="unseen">${escapeHtml(name)}</span>`;
    return `<th scope="col">${label}</th>`;
  });
  const text = map.percent ? percentText : numberText;
  const rows = map.rows.map((name, r) => {
    const cells = map.columns.map((_, c) => {
      const value = last.values[r]?.[c] ?? Number.NaN;
      const t = heat(value, map, highest);
      const side = t < 0 ? "less" : "more";
      return `<td class="${side}" style="--t:${Math.abs(t).toFixed(3)}"><span>${text(value)}</span></td>`;
    });
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells.join("")}</tr>`;
  });
  const data = {
    rowLabel: map.rowLabel,
    columnLabel: map.columnLabel,
    rows: map.rows,
    columns: map.columns,
    balanced: map.balanced ?? null,
    percent: map.percent ?? false,
    highest,
    fullDoublings: kFullDoublings,
    frames: map.frames.map((f) => ({
      name: f.name,
      values: f.values.map((row) => row.map((v) => Number(v?.toPrecision(4)))),
    })),
  };
  const caption = `${map.rowLabel} × ${map.columnLabel}, ${last.name}`;
  return `<figure class="heat">
${frameSlider(map)}
<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(`${map.title}: table`)}">
<table class="${wide ? "cells wide" : "cells"}" style="--columns:${map.columns.length}">
<caption class="unseen">${escapeHtml(caption)}</caption>
<thead><tr><th class="corner">${escapeHtml(`${map.rowLabel} \\ ${map.columnLabel}`)}</th>${heads.join("")}</tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div>
<div class="under"><p class="readout" aria-live="polite">Point at a cell to see its value.</p>${scaleHtml(map, highest)}</div>
<script type="application/json">${jsonForScript(data)}</script>
</figure>`;
}

function highestValue({ frames }: HeatMap): number {
  let highest = 0;
  for (const { values } of frames) {
    for (const v of values.flat()) if (Number.isFinite(v) && v > highest) highest = v;
  }
  return highest;
}

function frameSlider({ frames }: HeatMap): string {
  if (frames.length < 2) return "";
  const end = frames.length - 1;
  return `<label class="frame"><span>Time</span><input type="range" min="0" max="${end}" value="${end}" step="1">
<output>${escapeHtml(frames[end]!.name)}</output></label>`;
}

/** The colour scale, with the balanced value marked. */
function scaleHtml({ balanced, percent }: HeatMap, highest: number): string {
  const text = percent ? percentText : numberText;
  if (balanced === undefined) {
    return `<div class="scale"><i class="bar more-only"></i><span>0</span><span>${text(highest)}</span></div>`;
  }
  const full = 2 ** kFullDoublings;
  return `<div class="scale"><i class="bar"></i><span>≤ ${text(balanced / full)}</span>
<span class="balanced">balanced: ${text(balanced)}</span><span>≥ ${text(balanced * full)}</span></div>`;
}
