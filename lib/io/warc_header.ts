/** Headers of records, WARC's and ARC's, from their text. */

/** A record of a WARC file begins with this line. */
const versionLine = /^WARC\/\d\.\d{1,2}\r?\n/;
const kVersionBytes = 12;

/** Whether a record's header begins at a byte; undefined where `bytes` end too early to tell. */
export function isWarcHeader(bytes: Buffer, at: number): boolean | undefined {
  const line = bytes.toString("latin1", at, Math.min(at + kVersionBytes, bytes.length));
  if (versionLine.test(line)) return true;
  return line.length < kVersionBytes && "WARC/0.17\r\n".startsWith(line.slice(0, 5)) ? undefined : false;
}

/** Index of the next record's header from a byte on, and of where to look again once more bytes are there. */
export function findWarcHeader(bytes: Buffer, from: number): { at: number } | { again: number } {
  for (
    let at = bytes.indexOf("WARC/", from, "latin1");
    at !== -1;
    at = bytes.indexOf("WARC/", at + 1, "latin1")
  ) {
    const header = isWarcHeader(bytes, at);
    if (header === true) return { at };
    if (header === undefined) return { again: at };
  }
  return { again: Math.max(from, bytes.length - 4) };
}

/** Length of the header at the beginning, with its empty line; 0 if that isn't there. */
export function headerLength(bytes: Buffer): number {
  const crlf = bytes.indexOf("\r\n\r\n", 0, "latin1");
  const lf = bytes.subarray(0, crlf === -1 ? bytes.length : crlf).indexOf("\n\n", 0, "latin1");
  if (lf !== -1) return lf + 2;
  return crlf === -1 ? 0 : crlf + 4;
}

/**
 * `Name: value` lines behind a first line, by name in small letters; of a repeated one, the first. A line that begins with
 * white space goes on with the one before.
 */
export function namedValues(text: string): Map<string, string> {
  const values = new Map<string, string>();
  const unfolded = text.replace(/\r?\n[ \t]+/g, " ");
  for (const line of unfolded.split(/\r?\n/).slice(1)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    if (!values.has(name)) values.set(name, line.slice(colon + 1).trim());
  }
  return values;
}

/** A WARC record's header. A URL that wget put between < and > comes without them. */
export function warcHeaders(bytes: Buffer): Map<string, string> {
  const headers = namedValues(bytes.toString("utf8"));
  const url = headers.get("warc-target-uri");
  if (url?.startsWith("<") && url.endsWith(">")) headers.set("warc-target-uri", url.slice(1, -1));
  return headers;
}

/** ARC 1: URL, IP, time, type, length. ARC 2 has four more before the length. URLs may hold spaces. */
const arcLine = /^([a-z][a-z0-9+.-]*:.*?) (\S+) (\d{12,20}) (\S+)(?: \S+ \S+ \S+ \S+ \S+)? (\S+)$/i;

/** An ARC record's header line under WARC's names; undefined if it is none. */
export function arcHeaders(line: string): Map<string, string> | undefined {
  const match = arcLine.exec(line);
  if (match === null) return undefined;
  const [, url = "", address = "", time = "", type = "", length = ""] = match;
  const date = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(time)?.slice(1);
  return new Map([
    ["warc-type", url.startsWith("filedesc:") ? "warcinfo" : "response"],
    ["warc-target-uri", url],
    ["warc-ip-address", address],
    ["warc-date", date ? `${date.slice(0, 3).join("-")}T${date.slice(3).join(":")}Z` : time],
    ["content-type", type],
    ["content-length", length],
  ]);
}
