import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { FormatError } from "../../lib/core/errors.ts";
import { readWarc, type WarcProblem } from "../../lib/io/warc.ts";
import { sharedPath } from "../support/shared_data.ts";
import { tempDir } from "../support/temp_dir.ts";
import { gzipMembers, warcRecord } from "../support/warc_file.ts";

/** What a file gives: records as "type length" (with `offset+within` where asked for), problems as "reason offset". */
async function contents(file: string, options: { maxRecordBytes?: number; places?: boolean } = {}) {
  const { places, ...rest } = options;
  const records: string[] = [];
  const problems: WarcProblem[] = [];
  const reading = readWarc(file, { ...rest, onProblem: (problem) => problems.push(problem) });
  for await (const { type, block, offset, within } of reading)
    records.push(`${type} ${block.length}${places ? ` ${offset}+${within}` : ""}`);
  return { records, problems: problems.map(({ reason, offset }) => `${reason} ${offset}`) };
}

function fileWith(...parts: (Uint8Array | string)[]): string {
  const file = path.join(tempDir(), "a.warc.gz");
  writeFileSync(file, Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array))));
  return file;
}

/** The good and broken files of warcio's tests. */
const exchange = ["response 975", "request 493", "revisit 369", "request 493"];
const table: Record<string, { records: string[]; problems?: string[] }> = {
  "bad.arc": { records: ["response 1"], problems: ["bad_header 0", "bad_header 134", "bad_header 262"] },
  // Its content-length is one too small, the revisit's two too large.
  "example-bad-length.warc": {
    records: ["warcinfo 249", "warcinfo 470", "response 974", "request 493", "revisit 371", "request 493"],
    problems: ["garbage 2561"],
  },
  "example-bad-non-chunked.warc.gz": { records: ["warcinfo 249", "warcinfo 470", ...exchange] },
  // One gzip member for all records, which warcio refuses.
  "example-bad.warc.gz.bad": {
    records: ["warcinfo 196", "response 1610", "request 323", "revisit 340", "request 323", "response 471"],
  },
  "example-digest.warc": { records: ["request 493", "request 493", "request 493", "request 493"] },
  "example-iana.org-chunked.warc": { records: ["warcinfo 137", "response 7566", "request 76"] },
  "example-resource.warc.gz": { records: ["resource 15"] },
  "example-space-in-target-uri.warc.gz": { records: ["warcinfo 73", "resource 70"] },
  // Its line breaks were made shorter, so that the file ends 12 bytes before its record does.
  "example-space-in-url.arc": { records: ["warcinfo 75"], problems: ["cut_off 151"] },
  "example-trunc.warc": {
    records: ["warcinfo 249", "warcinfo 470", "response 973", "request 493"],
    problems: ["garbage 2560"],
  },
  "example-url-agnostic-revisit.warc.gz": { records: ["warcinfo 243", "revisit 277"] },
  "example-wget-bad-target-uri.warc.gz": {
    records: ["warcinfo 232", "request 141", "response 1598", "metadata 48", "resource 49", "resource 471"],
  },
  "example-wrong-chunks.warc.gz": { records: ["response 1613", "request 137"] },
  "example.arc": { records: ["warcinfo 75", "response 1591"] },
  "example.arc.gz": { records: ["warcinfo 75", "response 1591"] },
  "example.warc": { records: ["warcinfo 249", "warcinfo 470", ...exchange, "metadata 15"] },
  "example.warc.gz": { records: ["warcinfo 249", "warcinfo 470", ...exchange] },
  // Gzipped, whatever its name says.
  "post-test-more.warc": {
    records: ["response 774", "request 512", "response 749", "request 227", "response 659", "request 216"],
  },
  "post-test.warc.gz": {
    records: ["response 733", "request 227", "response 740", "request 223", "response 739", "request 224"],
  },
  "redirect.warc": { records: ["response 794", "request 158"] },
};
const folder = sharedPath("data/web/warc-parser");

test.skipIf(!folder)("good and broken files of other readers' tests", async () => {
  expect(readdirSync(folder!).sort()).toEqual(Object.keys(table).sort());
  for (const [name, { records, problems = [] }] of Object.entries(table))
    expect(await contents(path.join(folder!, name)), name).toEqual({ records, problems });
});

test("headers: small letters, the first of a name, folded lines, wget's brackets, line feeds alone", async () => {
  const file = fileWith(
    "WARC/1.1\nWARC-Type: resource\nwarc-target-uri: <http://a.example/x y>\nX-Long: one\n  two\nX-Long: three\nContent-Length: 3\n\nabc\n\n",
  );
  for await (const record of readWarc(file, { onProblem: ({ reason }) => expect.fail(reason) })) {
    expect([...record.headers]).toEqual([
      ["warc-type", "resource"],
      ["warc-target-uri", "http://a.example/x y"],
      ["x-long", "one two"],
      ["content-length", "3"],
    ]);
    expect(record.block.toString()).toBe("abc");
  }
});

test("ARC: times become dates, a URL may hold spaces, version 2 has more fields", async () => {
  const url = "http://a.example/?q=From The Web";
  const file = fileWith(
    "filedesc://a.arc 0.0.0.0 20140216050221 text/plain 3\n1 0\n\n",
    `${url} 1.2.3.4 20140216050221 text/html 4\nbody\n`,
    `${url} 1.2.3.4 20140216050221 text/html 200 - - 77 a.arc 5\nbody2\n`,
  );
  const records: unknown[] = [];
  for await (const { headers, block } of readWarc(file, { onProblem: ({ reason }) => expect.fail(reason) }))
    records.push([headers.get("warc-target-uri"), headers.get("warc-date"), block.toString()]);
  expect(records.slice(1)).toEqual([
    [url, "2014-02-16T05:02:21Z", "body"],
    [url, "2014-02-16T05:02:21Z", "body2"],
  ]);
});

const a = warcRecord("a".repeat(300));
const b = warcRecord("b".repeat(200));

test("gzip: a member for each record, one for all, a record over two members, empty members, zeros at the end", async () => {
  expect(await contents(fileWith(gzipMembers([a, b])), { places: true })).toEqual({
    records: ["response 300 0+0", `response 200 ${gzipSync(a).length}+0`],
    problems: [],
  });
  const both = { records: ["response 300", "response 200"], problems: [] as string[] };
  expect(await contents(fileWith(gzipSync(Buffer.concat([a, b]))))).toEqual(both);
  expect(await contents(fileWith(gzipMembers([a.subarray(0, 250), a.subarray(250), b])))).toEqual(both);
  expect(await contents(fileWith(gzipMembers([a.subarray(0, 20), a.subarray(20), b])))).toEqual(both);
  expect(await contents(fileWith(gzipMembers([Buffer.alloc(0), a, Buffer.alloc(0), b])))).toEqual(both);
  const zeros = Buffer.alloc(100);
  expect(await contents(fileWith(gzipMembers([a, b]), zeros))).toEqual({
    ...both,
    problems: [`damaged_gzip ${gzipMembers([a, b]).length}`],
  });
});

test("a gzip header with a name, a comment, an extra field and a checksum of itself", async () => {
  const plain = gzipSync(a);
  const fields = Buffer.from("\x03\x00xyzname\0comment\0\x12\x34", "latin1");
  const header = Buffer.from(plain.subarray(0, 10));
  header[3] = 4 | 8 | 16 | 2;
  expect(await contents(fileWith(header, fields, plain.subarray(10)))).toEqual({
    records: ["response 300"],
    problems: [],
  });
});

test("a damaged gzip member is left out, and reading goes on at the next", async () => {
  const noise = warcRecord(Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * i * 31) % 251)));
  for (const spoil of [
    (bytes: Buffer) => bytes.fill(0xff, 30, 60),
    (bytes: Buffer) => bytes.fill(0, 12),
    // The checksum, and the size.
    (bytes: Buffer) => bytes.fill(1, bytes.length - 8, bytes.length - 4),
    (bytes: Buffer) => bytes.fill(1, bytes.length - 4),
    (bytes: Buffer) => bytes.subarray(0, bytes.length - 50),
  ]) {
    const bad = spoil(gzipSync(noise));
    const { records, problems } = await contents(fileWith(gzipSync(a), bad, gzipSync(b)));
    expect(records).toEqual(["response 300", "response 200"]);
    expect(problems).toEqual([`damaged_gzip ${gzipSync(a).length}`]);
  }
});

test("files that are cut off: within a member, a header, a block", async () => {
  const two = gzipMembers([a, b]);
  const at = gzipSync(a).length;
  for (const end of [at + 3, at + 15, two.length - 9, two.length - 4])
    expect(await contents(fileWith(two.subarray(0, end)))).toEqual({
      records: ["response 300"],
      problems: [`cut_off ${at}`],
    });
  const plain = Buffer.concat([a, b]);
  expect(await contents(fileWith(plain.subarray(0, a.length + 30)))).toEqual({
    records: ["response 300"],
    problems: [`garbage ${a.length}`],
  });
  expect(await contents(fileWith(plain.subarray(0, plain.length - 40)))).toEqual({
    records: ["response 300"],
    problems: [`cut_off ${a.length}`],
  });
});

test("garbage before, between and behind records; none at all; no file", async () => {
  const junk = "some bytes WARC/ and WARC/1.x\r\n";
  expect(await contents(fileWith(junk, a, junk, b, junk))).toEqual({
    records: ["response 300", "response 200"],
    problems: [
      "garbage 0",
      `garbage ${junk.length + a.length}`,
      `garbage ${2 * junk.length + a.length + b.length}`,
    ],
  });
  expect(await contents(fileWith("<html>no archive</html>"))).toEqual({
    records: [],
    problems: ["garbage 0"],
  });
  expect(await contents(fileWith(""))).toEqual({ records: [], problems: [] });
  await expect(contents("no.warc")).rejects.toThrow(FormatError);
});

test("lengths that are too large, too small, or none", async () => {
  const long = warcRecord("a".repeat(300), { length: 900 });
  const found = await contents(fileWith(long, b, a));
  expect(found.records).toEqual(["response 304", "response 200", "response 300"]);
  expect(found.problems).toEqual(["wrong_length 0"]);
  expect(await contents(fileWith(gzipMembers([long, b, a])))).toEqual(found);
  const short = warcRecord("a".repeat(300), { length: 100 });
  expect(await contents(fileWith(short, b))).toEqual({
    records: ["response 100", "response 200"],
    problems: [`garbage ${short.length - 204}`],
  });
  const none = Buffer.from(warcRecord("x").toString().replace("Content-Length: 1", "Content-Length: x"));
  expect(await contents(fileWith(none, b))).toEqual({
    records: ["response 200"],
    problems: ["bad_header 0"],
  });
});

test("an archived page that speaks of WARC headers is no record", async () => {
  const page = `<pre>${warcRecord("inner")}</pre>`;
  expect(await contents(fileWith(warcRecord(page), b))).toEqual({
    records: [`response ${page.length}`, "response 200"],
    problems: [],
  });
});

test("a record of 100 MB is passed over in bounded memory, plain and gzipped, and read where it may", async () => {
  const bytes = 100 * 2 ** 20;
  const big = warcRecord(Buffer.alloc(bytes, "big "));
  for (const file of [fileWith(a, big, b), fileWith(gzipMembers([a, big, b]))]) {
    let most = 0;
    const before = process.memoryUsage().arrayBuffers;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }, 5);
    const { records, problems } = await contents(file);
    clearInterval(watch);
    expect(records).toEqual(["response 300", "response 200"]);
    expect(problems[0]).toMatch(/^record_too_large/);
    expect(most).toBeLessThan(60 * 2 ** 20);
    expect((await contents(file, { maxRecordBytes: bytes })).records[1]).toBe(`response ${bytes}`);
  }
}, 120_000);
