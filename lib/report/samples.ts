import { escapeHtml } from "./escape.ts";
import type { Samples } from "./sections.ts";

export function samplesHtml({ columns, samples, heading = "Prompt" }: Samples): string {
  if (samples.length === 0) return `<p class="empty">There are no samples.</p>`;
  return samples
    .map(({ prompt, texts }, i) => {
      const cells = texts.map(
        (text, c) =>
          `<div><h4>${escapeHtml(columns[c] ?? "")}</h4><div class="words" dir="auto">${words(text)}</div></div>`,
      );
      return `<article class="sample"><h3 class="unseen">Sample ${i + 1}</h3>
<div class="prompt"><h4>${escapeHtml(heading)}</h4><div class="words" dir="auto">${words(prompt)}</div></div>
<div class="texts">${cells.join("\n")}</div></article>`;
    })
    .join("\n");
}

function words(text: string): string {
  return text === "" ? `<span class="empty">(empty)</span>` : escapeHtml(text);
}
