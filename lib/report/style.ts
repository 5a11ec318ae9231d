/** The page's style sheet. Colours keep a contrast of 4.5 for text and 3 for lines, on light and on dark. */
export const kStyle = `
:root {
  color-scheme: light dark;
  --page: #f5f5f2; --card: #ffffff; --edge: #e1e0da; --text: #1d1d1f; --muted: #63636b; --grid: #e9e8e3;
  --link: #1a5fa8; --alarm: #a3271b; --neutral: #f1f0ec; --more: #e9893a; --less: #5b9bd5; --shade: #f7f7f4;
  --series-0: #1f6fb8; --series-1: #c4500f; --series-2: #12805c; --series-3: #8448b8; --series-4: #94700a; --series-5: #c02a6d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131417; --card: #1c1d21; --edge: #303238; --text: #ececee; --muted: #a3a5ad; --grid: #2c2e34;
    --link: #80b7f0; --alarm: #ff9a8c; --neutral: #2b2d32; --more: #b86014; --less: #2f73b5; --shade: #222429;
    --series-0: #6cb2f2; --series-1: #ff9a57; --series-2: #4fcf9f; --series-3: #c79bf0; --series-4: #e0b93a; --series-5: #ff86b8;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem clamp(.75rem, 3vw, 2rem) 4rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 0; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; line-height: 1.3; margin: 0; overflow-wrap: anywhere; }
h4 { font-size: .72rem; margin: 0 0 .25rem; color: var(--muted); text-transform: uppercase; letter-spacing: .06em; }
p { margin: .25rem 0 0; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.created, .note, .empty { color: var(--muted); }
.note { font-size: .875rem; max-width: 46rem; }
.alarm { color: var(--alarm); font-size: .875rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; margin: .75rem 0 0; padding: 0; font-size: .9rem; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(2, minmax(0, 1fr)); margin-top: 1.5rem; }
.card { grid-column: 1 / -1; min-width: 0; background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 1rem clamp(.75rem, 2vw, 1.25rem); scroll-margin-top: 1rem; }
.card.half { grid-column: auto; }
@media (max-width: 52rem) { .card.half { grid-column: 1 / -1; } }
.words { white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.scroll { overflow-x: auto; margin-top: .75rem; position: relative; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: .75rem 0 0; }
.chart { overflow-x: clip; }

.values { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .75rem 1.25rem; margin: .75rem 0 0; }
.values dt { font-size: .8rem; color: var(--muted); overflow-wrap: anywhere; }
.values dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
section.facts dd { font-size: 1.35rem; font-weight: 600; line-height: 1.3; letter-spacing: -.01em; }

.uplot { font: inherit; width: 100%; }
.u-legend { font-size: .85rem; margin: .25rem 0 0; text-align: left; font-variant-numeric: tabular-nums; }
.u-inline tr { margin-right: 1rem; }
.u-series > * { padding: 2px 0; }
.u-legend th { font-weight: 400; border-radius: 3px; }
.u-series:first-child .u-marker { display: none; }
.u-legend .u-value { font-weight: 600; margin-left: .3rem; min-width: 3.2em; }
.u-legend .u-marker { width: .85em; height: .85em; border-radius: 3px; }
.u-hz .u-cursor-x, .u-vt .u-cursor-y { border-right: 1px solid var(--muted); }
.u-select { background: color-mix(in srgb, var(--link) 18%, transparent); }

table { border-collapse: collapse; font-size: .875rem; width: 100%; }
th { text-align: left; font-weight: 600; }
.plain th, .plain td { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--edge); vertical-align: top; }
.plain tr > :last-child { padding-right: 0; }
.plain th.number, .plain td.number, .ranges .number { text-align: right; padding-left: .75rem; }
thead th { color: var(--muted); font-size: .8rem; }

.cells { table-layout: fixed; border-collapse: separate; border-spacing: 2px; min-width: calc(5rem + var(--columns) * 3.1rem); }
.cells.wide { border-spacing: 1px; min-width: calc(5rem + var(--columns) * 8px); }
.cells th { font-weight: 400; color: var(--muted); font-size: .8rem; padding: 0 .4rem 0 0; text-align: right; font-variant-numeric: tabular-nums; }
.cells th:first-child { position: sticky; left: 0; z-index: 1; background: var(--card); box-shadow: 0 0 0 2px var(--card); }
.cells thead th { text-align: center; padding: 0 0 .15rem; white-space: nowrap; }
.cells.wide thead th { text-align: left; }
.cells .corner { width: 5rem; text-align: right; padding-right: .4rem; font-size: .7rem; }
.cells td { height: 2.1rem; text-align: center; border-radius: 4px; font-variant-numeric: tabular-nums; position: relative;
  background: color-mix(in oklab, var(--side) calc(var(--t) * 100%), var(--neutral)); }
.cells .more { --side: var(--more); } .cells .less { --side: var(--less); }
.cells.wide td { height: 1.4rem; border-radius: 2px; padding: 0; }
.cells.wide td span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.cells td.pointed { outline: 2px solid var(--text); }
.under { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: start; gap: .5rem 2rem; margin-top: .6rem; font-size: .85rem; }
.readout { margin: 0; font-variant-numeric: tabular-nums; min-height: 1.5em; flex: 1 1 16rem; }
.scale { display: flex; flex-wrap: wrap; justify-content: space-between; width: 21rem; max-width: 100%; color: var(--muted);
  font-size: .78rem; font-variant-numeric: tabular-nums; position: relative; }
.scale .bar { flex: 0 0 100%; height: .6rem; border-radius: 3px; background: linear-gradient(in oklab to right, var(--less), var(--neutral), var(--more)); }
.scale .more-only { background: linear-gradient(in oklab to right, var(--neutral), var(--more)); }
.scale .balanced { color: var(--text); }
.scale .balanced::before { content: ""; position: absolute; left: calc(50% - 1px); top: -3px; width: 2px; height: calc(.6rem + 6px); background: var(--text); }
.frame { display: flex; align-items: center; gap: .75rem; font-size: .85rem; color: var(--muted); }
.frame input { flex: 1; max-width: 22rem; accent-color: var(--link); }
.frame output { color: var(--text); font-variant-numeric: tabular-nums; }

.ranges th, .ranges td { padding: .1rem .75rem .1rem 0; }
.ranges tbody th { font-weight: 400; white-space: nowrap; width: 1%; }
.ranges .number { width: 1%; padding-right: 0; }
.ranges .group th { font-weight: 600; padding-top: .6rem; }
.ranges .track, .ranges .track-head { position: relative; min-width: 10rem; padding: 0; height: 1.5rem; }
.ranges .track::before { content: ""; position: absolute; left: var(--zero); top: 0; bottom: 0; width: 1px; background: var(--muted); }
.ranges .track i { position: absolute; left: var(--from); width: calc(var(--to) - var(--from)); }
.ranges .bar { top: .3rem; bottom: .3rem; border-radius: 2px; min-width: 1px; }
.ranges .bar.more { background: var(--more); } .ranges .bar.less { background: var(--less); }
.ranges .whisker { top: calc(50% - .5px); height: 1px; background: var(--text); }
.ranges .whisker::before, .ranges .whisker::after { content: ""; position: absolute; top: -3px; height: 7px; width: 1px; background: var(--text); }
.ranges .whisker::after { right: 0; }
.track-head .zero { position: absolute; left: var(--zero); bottom: .1rem; transform: translateX(-50%); }

.marks svg { display: block; width: 100%; min-width: 34rem; height: auto; overflow: visible; }
.marks text { fill: var(--muted); font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.marks .grid { stroke: var(--grid); } .marks .zero { stroke: var(--muted); stroke-dasharray: 2 3; }
.marks .mark { fill: var(--colour); fill-opacity: .75; stroke: var(--card); stroke-width: .75; }
.marks .mark:hover { fill-opacity: 1; stroke: var(--text); }
.marks .join { fill: none; stroke: var(--colour); stroke-width: 1.5; }
.marks .only { --colour: var(--muted); } .marks .only .join { stroke-dasharray: 5 4; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: .5rem 0 0; padding: 0; font-size: .85rem; }
.legend svg { width: .9em; height: .9em; margin-right: .35em; vertical-align: -.08em; min-width: 0; display: inline; }

.sample { margin-top: 1rem; border: 1px solid var(--edge); border-radius: 8px; overflow: hidden; font-size: .93rem; }
.sample .prompt { background: var(--shade); padding: .6rem .9rem; border-bottom: 1px solid var(--edge); }
.sample .texts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 1px; background: var(--edge); }
.sample .texts > div { background: var(--card); padding: .6rem .9rem; min-width: 0; }
@media print { body { background: none; padding: 0; max-width: none; } .card { break-inside: avoid; } nav { display: none; } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
`;
