/**
 * Text for HTML, as content or within a quoted attribute. Control characters, which HTML can't hold, become their
 * pictures (U+2400 and on), so that a sample shows what the model wrote; halves of surrogate pairs become U+FFFD.
 */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
    .replace(/\r\n?/g, "\n")
    .replace(/[^\P{Cc}\t\n]|\p{Cs}/gu, (c) => picture(c.charCodeAt(0)));
}

/** A value as JSON for the inside of a <script> element; "<" may stand there only as \u003c. */
export function jsonForScript(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

function picture(code: number): string {
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : "\ufffd";
}
