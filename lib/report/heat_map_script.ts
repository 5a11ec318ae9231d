/** The page's script that shows a heat map's values on hover, and its other frames. */
export const kHeatMapScript = `(() => {
"use strict";
for (const figure of document.querySelectorAll("figure.heat")) {
  const map = JSON.parse(figure.querySelector("script").textContent);
  const table = figure.querySelector("table");
  const readout = figure.querySelector(".readout");
  const slider = figure.querySelector("input");
  const idle = readout.textContent;
  let frame = map.frames.length - 1;
  let pointed = null;

  const text = (v) => {
    if (v == null) return "NaN";
    if (map.percent) return (100 * v).toFixed(1) + "%";
    return v.toLocaleString("en-US", { maximumSignificantDigits: 4 });
  };
  const heat = (v) => {
    if (v == null) return 0;
    if (map.balanced === null) return map.highest > 0 ? Math.max(0, v / map.highest) : 0;
    return Math.min(1, Math.max(-1, Math.log2(Math.max(v, 0) / map.balanced) / map.fullDoublings));
  };
  const valueAt = (r, c) => map.frames[frame].values[r][c];
  const say = () => {
    table.querySelector(".pointed")?.classList.remove("pointed");
    if (!pointed) { readout.textContent = idle; return; }
    pointed.classList.add("pointed");
    const r = pointed.parentNode.sectionRowIndex;
    const c = pointed.cellIndex - 1;
    const v = valueAt(r, c);
    const times = map.balanced === null || v == null ? "" : ", " + (v / map.balanced).toFixed(2) + " × balanced";
    readout.textContent = map.rowLabel + " " + map.rows[r] + ", " + map.columnLabel + " " + map.columns[c] + ": " +
      text(v) + times;
  };
  table.addEventListener("pointerover", (e) => { pointed = e.target.closest("td"); say(); });
  table.addEventListener("pointerleave", (e) => { if (e.pointerType !== "touch") { pointed = null; say(); } });
  slider?.addEventListener("input", () => {
    frame = Number(slider.value);
    figure.querySelector("output").textContent = map.frames[frame].name;
    table.caption.textContent = map.rowLabel + " × " + map.columnLabel + ", " + map.frames[frame].name;
    for (const row of table.tBodies[0].rows) {
      for (const cell of row.querySelectorAll("td")) {
        const v = valueAt(row.sectionRowIndex, cell.cellIndex - 1);
        const t = heat(v);
        cell.className = t < 0 ? "less" : "more";
        cell.style.setProperty("--t", Math.abs(t).toFixed(3));
        cell.firstChild.textContent = text(v);
      }
    }
    say();
  });
}
})();`;
