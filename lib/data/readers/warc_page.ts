import { bodyOf, httpResponse } from "../../io/http_response.ts";
import type { WarcRecord } from "../../io/warc.ts";
import { decodePage } from "./page_charset.ts";

/** A page of an archive; or why a record of one is none, as a name to count it under. */
export type WarcPage =
  | { readonly text: string; readonly contentType: string; readonly charset: string }
  | { readonly reason: string; readonly detail: string };

const htmlTypes = new Set(["text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"]);
/** Words of servers that don't know what they send: the bytes decide. */
const vagueTypes = new Set([
  "",
  "unknown/unknown",
  "application/octet-stream",
  "application/xml",
  "text/xml",
]);

/**
 * The page in a response or conversion record. A conversion (of a WET file) may also be plain text. Dropped: "http_status"
 * (not 200), "not_html" (by the archive's or the server's word, or by its first bytes where they say nothing), "binary",
 * "empty", "unknown_charset", "bad_encoding" and "unknown_encoding" (of content-encoding), "record_too_large" (when inflated).
 */
export function warcPage({ type, headers, block }: WarcRecord, maxBytes: number): WarcPage {
  const response = type === "response" ? httpResponse(block) : undefined;
  if (response && response.status !== 200)
    return { reason: "http_status", detail: `status ${response.status}` };
  const identified = headers.get("warc-identified-payload-type");
  const declared = response ? response.headers.get("content-type") : headers.get("content-type");
  const contentType = mimeOf(identified ?? declared);
  const plain = type === "conversion" && contentType === "text/plain";
  const vague = vagueTypes.has(contentType);
  if (!plain && !vague && !htmlTypes.has(contentType)) return { reason: "not_html", detail: contentType };
  const body = response ? bodyOf(response, maxBytes) : block;
  if (!Buffer.isBuffer(body)) return body;
  if (body.length === 0) return { reason: "empty", detail: "no payload" };
  if (isBinary(body)) return { reason: "binary", detail: `${contentType}, but its bytes are none` };
  const page = decodePage(body, declared);
  if (page === undefined) return { reason: "unknown_charset", detail: declared ?? "" };
  const text = page.text.replace(/^\ufeff/, "");
  if (vague && !looksHtml(text)) return { reason: "not_html", detail: contentType || "no type, no HTML" };
  return { text, contentType: vague ? "text/html" : contentType, charset: page.charset };
}

const mimeOf = (contentType: string | undefined): string =>
  (contentType ?? "").split(";", 1)[0]!.trim().toLowerCase();

const looksHtml = (text: string): boolean =>
  /<(!doctype\s+html|html|head|body|title|meta|div|table|p|h1|a)\b/i.test(text.slice(0, 2048));

const magics = [
  "%PDF-",
  "\x89PNG",
  "GIF8",
  "\xff\xd8\xff",
  "PK\x03\x04",
  "\x1f\x8b",
  "RIFF",
  "\x7fELF",
  "BZh",
  "Rar!",
];

/** Whether bytes are no text in any encoding that pages come in. */
function isBinary(body: Buffer): boolean {
  const begin = body.toString("latin1", 0, 1024);
  if (magics.some((magic) => begin.startsWith(magic))) return true;
  if (!begin.includes("\0")) return false;
  // UTF-16 has a zero in every other byte of its markup.
  const utf16 = /^(\xff\xfe|\xfe\xff)/.test(begin) || /^\s*<\0|^\0</.test(begin);
  return !utf16;
}
