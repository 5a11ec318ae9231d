import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { bodyOf, httpResponse } from "../../lib/io/http_response.ts";
import { httpBytes } from "../support/warc_file.ts";

const page = `<p>${"some text ".repeat(100)}</p>`;

function body(bytes: Uint8Array | string, headers: string[], maxBytes = 10_000): string {
  const found = bodyOf(httpResponse(httpBytes(bytes, { headers }))!, maxBytes);
  return Buffer.isBuffer(found) ? found.toString() : found.reason;
}

test("status and headers, with line feeds alone as well; what has no status line is no response", () => {
  const response = httpResponse(Buffer.from("HTTP/1.0 404 Not Found\nX-A: b\nx-a: c\n\nbody"))!;
  expect(response.status).toBe(404);
  expect([...response.headers]).toEqual([["x-a", "b"]]);
  expect(response.body.toString()).toBe("body");
  expect(httpResponse(Buffer.from("HTTP/2 200\r\n\r\n"))!.status).toBe(200);
  expect(httpResponse(Buffer.from("HTTP/1.1 200 OK\r\nA: b"))!.body).toHaveLength(0);
  expect(httpResponse(Buffer.from("<html>HTTP/1.1 200"))).toBeUndefined();
});

test("chunks are put together; a body that only says that it is chunked is taken as it is", () => {
  const chunked = ["Transfer-Encoding: chunked"];
  expect(body("4\r\nwiki\r\n005;x=y\r\npedia\r\n0\r\nTrailer: x\r\n\r\n", chunked)).toBe("wikipedia");
  expect(body("A\n0123456789\n0\n\n", chunked)).toBe("0123456789");
  expect(body(page, chunked)).toBe(page);
  // Cut off within a chunk; a wrong size; no last chunk; nothing.
  expect(body("4\r\nwiki\r\nff\r\npedia", chunked)).toBe("wikipedia");
  expect(body("4\r\nwikipedia\r\n0\r\n\r\n", chunked)).toBe("wiki");
  expect(body("4\r\nwiki\r\n", chunked)).toBe("wiki");
  expect(body("", chunked)).toBe("");
});

test("content-length is not believed", () => {
  for (const length of [0, 5, 1e9, "x"]) expect(body(page, [`Content-Length: ${length}`])).toBe(page);
});

test("gzip, deflate in both its forms, brotli, and two of them; chunked on top", () => {
  const brotli = brotliCompressSync(page);
  expect(body(gzipSync(page), ["Content-Encoding: gzip"])).toBe(page);
  expect(body(deflateSync(page), ["Content-Encoding: Deflate"])).toBe(page);
  expect(body(deflateRawSync(page), ["Content-Encoding: deflate"])).toBe(page);
  expect(body(brotli, ["Content-Encoding: br"])).toBe(page);
  expect(body(gzipSync(brotli), ["Content-Encoding: br, gzip"])).toBe(page);
  const head = Buffer.from(`${brotli.length.toString(16)}\r\n`);
  const chunks = Buffer.concat([head, brotli, Buffer.from("\r\n0\r\n\r\n")]);
  expect(body(chunks, ["Transfer-Encoding: chunked", "Content-Encoding: br"])).toBe(page);
});

test("compressed bodies that aren't, that are cut off, damaged, too large, or of a kind nobody knows", () => {
  for (const encoding of ["gzip", "br", "deflate", "zstd"])
    expect(body(page, [`Content-Encoding: ${encoding}`])).toBe(page);
  const text = Array.from({ length: 2000 }, (_, i) => (i * i) % 9973).join(" ");
  const zipped = gzipSync(text);
  expect(text.startsWith(body(zipped.subarray(0, 3000), ["Content-Encoding: gzip"]).slice(0, 1000))).toBe(
    true,
  );
  expect(body(Buffer.from(zipped).fill(0xff, 20, 60), ["Content-Encoding: gzip"])).toBe("bad_encoding");
  expect(body("\x01\x02\x03 no deflate", ["Content-Encoding: deflate"])).toBe("bad_encoding");
  expect(body(gzipSync(text), ["Content-Encoding: gzip"], 1000)).toBe("record_too_large");
  expect(body("(\xb5/\xfd", ["Content-Encoding: zstd"])).toBe("unknown_encoding");
});
