import { escapeHtml } from "./escape.ts";
import type { RangeBar, RangeBars } from "./sections.ts";

/** A common scale: the ends of all ranges and the reference, as an interval of some width. */
export function barScale({ reference, groups }: Pick<RangeBars, "reference" | "groups">): [number, number] {
  let low = reference;
  let high = reference;
  for (const { bars } of groups) {
    for (const value of bars.flatMap((b) => [b.min, b.mean, b.max])) {
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const margin = high > low ? 0.04 * (high - low) : Math.abs(reference) || 1;
  return [low - margin, high + margin];
}

/** As many decimals as tell a hundredth of the scale. */
function decimals([low, high]: [number, number]): number {
  return Math.min(10, Math.max(0, 2 - Math.floor(Math.log10(high - low))));
}

export function rangeBarsHtml(section: RangeBars): string {
  if (section.groups.every((g) => g.bars.length === 0)) {
    return `<p class="empty">There are no values to show.</p>`;
  }
  const scale = barScale(section);
  const where = (value: number): string => percentOf(scale, value);
  const text = (value: number): string => (Number.isFinite(value) ? value.toFixed(decimals(scale)) : "NaN");
  const zero = where(section.reference);
  const groups = section.groups.map(
    ({ name, bars }) =>
      `<tbody><tr class="group"><th colspan="4" scope="rowgroup">${escapeHtml(name)}</th></tr>
${bars.map((bar) => barHtml(bar, section.reference, where, text)).join("\n")}</tbody>`,
  );
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(`${section.title}: table`)}">
<table class="ranges" style="--zero:${zero}">
<thead><tr><th scope="col">Module</th><th scope="col" class="track-head"><span class="unseen">Chart; </span><span class="zero">${section.reference}</span></th>
<th scope="col" class="number">${escapeHtml(section.valueLabel)}</th><th scope="col" class="number">lowest – highest</th></tr></thead>
${groups.join("\n")}</table></div>`;
}

function barHtml(
  bar: RangeBar,
  reference: number,
  where: (value: number) => string,
  text: (value: number) => string,
): string {
  const [left, right] = bar.mean < reference ? [bar.mean, reference] : [reference, bar.mean];
  const side = bar.mean < reference ? "less" : "more";
  const track = [bar.mean, bar.min, bar.max].every(Number.isFinite)
    ? `<i class="bar ${side}" style="--from:${where(left)};--to:${where(right)}"></i>
<i class="whisker" style="--from:${where(bar.min)};--to:${where(bar.max)}"></i>`
    : "";
  return `<tr><th scope="row"><bdi>${escapeHtml(bar.name)}</bdi></th><td class="track">${track}</td>
<td class="number">${text(bar.mean)}</td><td class="number">${text(bar.min)} – ${text(bar.max)}</td></tr>`;
}

function percentOf([low, high]: [number, number], value: number): string {
  return `${((100 * (value - low)) / (high - low)).toFixed(2)}%`;
}
