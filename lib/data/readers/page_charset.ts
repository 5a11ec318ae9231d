import { isUtf8 } from "node:buffer";
import { analyse } from "chardet";

/** A page's text, and the encoding that it was in. */
export interface DecodedPage {
  readonly text: string;
  readonly charset: string;
}

/** Where in a page its own word on its encoding stands. Browsers look at 1024 bytes; many pages have it later. */
const kHeadBytes = 8192;
const kSampleBytes = 2 ** 16;
/** Of a page said to be UTF-8, one character in so many may be broken. */
const kBrokenShare = 1 / 200;

/**
 * Decodes a page. In this order: a byte order mark; UTF-8, if all of it is; what the server said; what the page says; what the
 * bytes look like. A word that the bytes contradict, or that names no encoding, counts for nothing.
 * Undefined where nothing fits.
 */
export function decodePage(bytes: Buffer, contentType: string | undefined): DecodedPage | undefined {
  const mark = byteOrderMark(bytes);
  if (mark !== undefined) return { text: new TextDecoder(mark).decode(bytes), charset: mark };
  const said = [labelIn(contentType ?? ""), labelInPage(bytes)].filter((label) => label !== undefined);
  // Its escapes are ASCII, so it passes for UTF-8.
  const escaped = said.find((label) => /^(cs)?iso-?2022-?jp$/i.test(label) && bytes.includes(0x1b));
  if (escaped === undefined && isUtf8(withoutCutCharacter(bytes)))
    return { text: bytes.toString("utf8"), charset: "utf-8" };
  for (const label of said) {
    const decoded = decodeAs(bytes, label);
    if (decoded) return decoded;
  }
  for (const { name } of analyse(withoutTags(bytes.subarray(0, kSampleBytes)))) {
    const decoded = decodeAs(bytes, name);
    if (decoded) return decoded;
  }
  return undefined;
}

function byteOrderMark(bytes: Buffer): string | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return "utf-8";
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  return bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : undefined;
}

/** A page may be cut off within a character of up to 4 bytes. */
function withoutCutCharacter(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte >= 0xc0) return bytes.subarray(0, bytes.length - back);
    if (byte < 0x80) break;
  }
  return bytes;
}

const labelIn = (text: string): string | undefined => /charset\s*=\s*["']?\s*([\w.:-]+)/i.exec(text)?.[1];

function labelInPage(bytes: Buffer): string | undefined {
  const head = bytes.toString("latin1", 0, kHeadBytes);
  const xml = /^\s*<\?xml[^>]{0,100}\bencoding\s*=\s*["']([\w.:-]+)/i.exec(head)?.[1];
  for (const [meta] of head.matchAll(/<meta\b[^>]{0,1000}>/gi)) {
    const label = labelIn(meta);
    if (label !== undefined) return label;
  }
  return xml;
}

/** Undefined if there is no such encoding, or the bytes aren't in it. */
function decodeAs(bytes: Buffer, label: string): DecodedPage | undefined {
  let decoder: InstanceType<typeof TextDecoder>;
  try {
    decoder = new TextDecoder(label);
  } catch {
    return undefined;
  }
  const charset = decoder.encoding;
  // A page with bytes below 128 in it is not in UTF-16, whatever it says of itself.
  if (charset.startsWith("utf-16") && !bytes.subarray(0, kHeadBytes).includes(0)) return undefined;
  const text = decoder.decode(bytes);
  let broken = 0;
  for (let at = text.indexOf("\ufffd"); at !== -1; at = text.indexOf("\ufffd", at + 1)) broken++;
  return broken <= text.length * kBrokenShare ? { text, charset } : undefined;
}

/** The bytes outside of tags, scripts and styles, whose ASCII says nothing of the encoding. */
function withoutTags(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const open = bytes.indexOf(0x3c, at);
    parts.push(bytes.subarray(at, open === -1 ? bytes.length : open));
    if (open === -1) break;
    const code = /^<(script|style)\b/i.test(bytes.toString("latin1", open, open + 8));
    const close = bytes.indexOf(0x3e, code ? bytes.indexOf("</", open + 1) : open);
    if (close < open) break;
    at = close + 1;
  }
  const left = Buffer.concat(parts);
  return left.some((byte) => byte >= 0x80) ? left : bytes;
}
