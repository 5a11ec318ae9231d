import { gzipSync } from "node:zlib";

/** A record's bytes; `length` says another content-length than is right. */
export function warcRecord(
  block: Uint8Array | string,
  { type = "response", id = "<urn:uuid:1>", url = "http://a.example/", length = -1, headers = "" } = {},
): Buffer {
  const bytes = Buffer.from(block as Uint8Array);
  const header =
    `WARC/1.0\r\nWARC-Type: ${type}\r\nWARC-Record-ID: ${id}\r\nWARC-Target-URI: ${url}\r\n` +
    `WARC-Date: 2024-05-18T01:58:10Z\r\n${headers}Content-Length: ${length === -1 ? bytes.length : length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(header), bytes, Buffer.from("\r\n\r\n")]);
}

/** An HTTP response's bytes. */
export function httpBytes(
  body: Uint8Array | string,
  { status = "200 OK", headers = ["Content-Type: text/html"] }: { status?: string; headers?: string[] } = {},
): Buffer {
  const head = [`HTTP/1.1 ${status}`, ...headers, "", ""].join("\r\n");
  return Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(body as Uint8Array)]);
}

/** Records as one gzip member each. */
export const gzipMembers = (records: readonly Uint8Array[]): Buffer =>
  Buffer.concat(records.map((record) => gzipSync(record)));
