import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { ConfigError } from "../../../lib/core/errors.ts";
import { warc } from "../../../lib/data/readers/warc.ts";
import { sharedPath } from "../../support/shared_data.ts";
import { readAll } from "../../support/task_context.ts";
import { tempDir } from "../../support/temp_dir.ts";
import { gzipMembers, httpBytes, warcRecord } from "../../support/warc_file.ts";

function fileWith(records: readonly Uint8Array[]): string {
  const file = path.join(tempDir(), "a.warc.gz");
  writeFileSync(file, gzipMembers(records));
  return file;
}

/** The one document of a response with this body, or "reason id" of what was dropped. */
async function read(body: Uint8Array | string, headers = ["Content-Type: text/html"], status = "200 OK") {
  const { documents, dropped } = await readAll(
    warc(fileWith([warcRecord(httpBytes(body, { headers, status }))])),
  );
  expect(documents.length + dropped.length).toBe(1);
  return documents[0] ?? dropped[0]!;
}

test("a page's document: its record's id, url and date, its type and encoding", async () => {
  expect(await read("<p>text", ["Content-Type: text/html; charset=utf-8"])).toEqual({
    id: "<urn:uuid:1>",
    text: "<p>text",
    metadata: {
      url: "http://a.example/",
      date: "2024-05-18T01:58:10Z",
      contentType: "text/html",
      charset: "utf-8",
    },
  });
});

test("dropped by name: other status, other types, no body, bytes that are no text, compression nobody reads", async () => {
  const dropped = async (...given: Parameters<typeof read>) => (await read(...given)) as unknown;
  const id = "<urn:uuid:1>";
  expect(await dropped("<p>moved", undefined, "301 Moved")).toBe(`http_status ${id}`);
  expect(await dropped("{}", ["Content-Type: application/json"])).toBe(`not_html ${id}`);
  expect(await dropped("text", ["Content-Type: text/plain"])).toBe(`not_html ${id}`);
  expect(await dropped("just text", [])).toBe(`not_html ${id}`);
  expect(await dropped("")).toBe(`empty ${id}`);
  expect(await dropped("%PDF-1.4 …")).toBe(`binary ${id}`);
  expect(await dropped(Buffer.from("GIF89a\0\0"))).toBe(`binary ${id}`);
  expect(await dropped(Buffer.from([60, 1, 2, 0, 0, 0, 7]))).toBe(`binary ${id}`);
  const html = "Content-Type: text/html";
  expect(await dropped("\x01\x02", [html, "Content-Encoding: zstd"])).toBe(`unknown_encoding ${id}`);
  expect(await dropped(Buffer.from("\x1f\x8bxx", "latin1"), [html, "Content-Encoding: gzip"])).toBe(
    `bad_encoding ${id}`,
  );
});

test("a page without a type, or with one that says nothing, is known by its bytes", async () => {
  for (const headers of [[], ["Content-Type: application/octet-stream"], ["Content-Type: text/xml"]])
    expect(await read("\n<!doctype HTML><p>x", headers)).toMatchObject({
      metadata: { contentType: "text/html" },
    });
  expect(await read("<p>x", ["Content-Type: application/xhtml+xml"])).toMatchObject({ text: "<p>x" });
});

test("what the archive found out counts for more than the server's word", async () => {
  const identified = (type: string) => `WARC-Identified-Payload-Type: ${type}\r\n`;
  const block = httpBytes("<p>x", { headers: ["Content-Type: text/plain"] });
  const kept = warcRecord(block, { headers: identified("text/html") });
  const lost = warcRecord(httpBytes("<p>x"), { headers: identified("application/pdf"), id: "<b>" });
  const { documents, dropped } = await readAll(warc(fileWith([kept, lost])));
  expect(documents).toHaveLength(1);
  expect(dropped).toEqual(["not_html <b>"]);
});

test("conversion records may be plain text; other kinds are counted", async () => {
  const plain = { type: "conversion", headers: "Content-Type: text/plain\r\n" };
  const records = [
    warcRecord("plain text", plain),
    warcRecord("GET /", { type: "request" }),
    warcRecord("", { type: "revisit" }),
  ];
  const { documents, dropped, counts } = await readAll(warc(fileWith(records)));
  expect(documents.map(({ text, metadata }) => [text, metadata.contentType])).toEqual([
    ["plain text", "text/plain"],
  ]);
  expect(dropped).toEqual([]);
  expect(counts).toEqual({ "read.warc/other records": 2 });
});

test("damage is dropped by file and offset; options", async () => {
  const good = warcRecord(httpBytes("<p>x"));
  const file = fileWith([good]);
  const bad = gzipSync(warcRecord(httpBytes("<p>lost"))).fill(0xff, 12, 40);
  writeFileSync(file, Buffer.concat([gzipSync(good), bad, gzipSync(good)]));
  const { documents, dropped } = await readAll(warc(file));
  expect(documents).toHaveLength(2);
  expect(dropped).toEqual([`damaged_gzip a.warc.gz/${gzipSync(good).length}`]);
  const large = warcRecord(httpBytes(gzipSync("<p>".repeat(1000)), { headers: ["Content-Encoding: gzip"] }));
  const small = await readAll(warc(fileWith([large]), { maxRecordBytes: 1000 }));
  expect(small.dropped).toEqual(["record_too_large <urn:uuid:1>"]);
  expect(warc("x", { maxRecordBytes: 5 }).description).toEqual({
    step: "read.warc",
    options: { files: "x", maxRecordBytes: 5 },
  });
  expect(() => warc("x", { maxRecordBytes: 0 })).toThrow(ConfigError);
  await expect(warc("none/*.warc").files()).rejects.toThrow(ConfigError);
});

const folder = sharedPath("data/web");

test.skipIf(!folder)("documents and drops of other readers' test files", async () => {
  const { documents, dropped, counts } = await readAll(warc(path.join(folder!, "warc-parser")));
  const urls: Record<string, number> = {};
  for (const { metadata } of documents) urls[String(metadata.url)] = (urls[String(metadata.url)] ?? 0) + 1;
  expect(urls).toEqual({
    "http://example.com/": 9,
    "http://example.com?example=1": 1,
    "http://www.iana.org/": 1,
  });
  const reasons: Record<string, number> = {};
  for (const line of dropped) reasons[line.split(" ")[0]!] = (reasons[line.split(" ")[0]!] ?? 0) + 1;
  expect(reasons).toEqual({ bad_header: 3, not_html: 7, cut_off: 1, garbage: 2, http_status: 2 });
  expect(counts).toEqual({ "read.warc/other records": 55 });
  // All example.com pages are the same page, however they were sent.
  const pages = documents.filter(({ metadata }) => metadata.url === "http://example.com/");
  expect(new Set(pages.map(({ text }) => text.trim())).size).toBe(1);
});

test.skipIf(!folder)(
  "a crawl recorded by wget: every response is a document or dropped as its label says",
  async () => {
    const { documents, dropped } = await readAll(warc(path.join(folder!, "minicrawl/*.warc.gz")));
    const labels = gunzipSync(readFileSync(path.join(folder!, "minicrawl/labels.jsonl.gz")))
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { url: string; kind: string; charset?: string; expect: string });
    expect(documents.length + dropped.length).toBe(223);
    const byUrl = new Map(documents.map((document) => [document.metadata.url, document]));
    for (const { url, kind, charset, expect: wanted } of labels) {
      const isPage = kind !== "empty" && !/drop:(mime|not-200)$/.test(wanted);
      expect(byUrl.has(url), url).toBe(isPage);
      const latin1 = charset?.startsWith("ISO-8859-1");
      if (charset)
        expect(byUrl.get(url)!.metadata.charset).toBe(latin1 ? "windows-1252" : charset.toLowerCase());
    }
  },
);
