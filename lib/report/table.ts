import { escapeHtml } from "./escape.ts";
import { numberText } from "./number_text.ts";
import type { Facts, Table, Text } from "./sections.ts";

export function tableHtml({ title, columns, rows }: Table): string {
  const numeric = columns.map((_, c) => rows.length > 0 && rows.every((row) => typeof row[c] === "number"));
  const cell = (tag: string, c: number, html: string): string =>
    `<${tag}${numeric[c] ? ` class="number"` : ""}>${html}</${tag.split(" ")[0]}>`;
  const head = columns.map((name, c) => cell(`th scope="col"`, c, escapeHtml(name))).join("");
  const body = rows.map((row) => `<tr>${row.map((v, c) => cell("td", c, valueHtml(v))).join("")}</tr>`);
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(`${title}: table`)}">
<table class="plain"><thead><tr>${head}</tr></thead><tbody>${body.join("\n")}</tbody></table></div>`;
}

export function factsHtml(facts: Facts["facts"]): string {
  const items = Object.entries(facts).map(
    ([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${valueHtml(value)}</dd></div>`,
  );
  return `<dl class="values">${items.join("\n")}</dl>`;
}

export function textHtml({ text }: Text): string {
  return text
    .split(/\n\s*\n/)
    .map((paragraph) => `<p class="words" dir="auto">${escapeHtml(paragraph.trim())}</p>`)
    .join("\n");
}

function valueHtml(value: string | number): string {
  return typeof value === "number" ? numberText(value) : `<bdi>${escapeHtml(value)}</bdi>`;
}
