import { writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { subwordSearch } from "../../../lib/data/filters/subword_search.ts";
import { url } from "../../../lib/data/filters/url.ts";
import { tempDir } from "../../support/temp_dir.ts";
import { documentOf, reasonOf } from "../../support/verdicts.ts";

const filter = url({
  blockedDomains: ["blocked.co.uk", "one.host.org", " # no.entry", "8.8.8.8", ""],
  blockedUrls: ["http://fine.org/but/this"],
  bannedWords: ["casino"],
  softBannedWords: ["poker", "bonus", "free"],
  bannedSubwords: ["xxl-spam"],
});
const reason = (address: string): string => reasonOf(filter, "", { url: address });

test.each([
  ["kept", "http://fine.org/page"],
  ["domain", "https://www.Blocked.co.uk:80/page"],
  ["kept", "https://unblocked.co.uk/"],
  ["subdomain", "http://one.host.org/"],
  ["kept", "http://two.host.org/"],
  ["subdomain", "http://8.8.8.8/"],
  ["url", "http://fine.org/but/this"],
  ["kept", "http://fine.org/but/this/"],
  ["hard_blacklisted", "http://fine.org/Best-CASINO-online"],
  ["kept", "http://fine.org/casinos"],
  ["kept", "http://fine.org/free/free/software"],
  ["soft_blacklisted", "http://fine.org/free/poker"],
  ["blacklisted_subword", "http://fine.org/a-XX_L.spam.er"],
  ["kept", "not a url"],
])("%s: %s", (expected, address) => {
  expect(reason(address)).toBe(expected);
});

test("a document without a URL is an error that names it", () => {
  expect(() => reason("")).toThrow(/filter.url: document d has "" as metadata.url/);
  expect(() => reasonOf(filter, "")).toThrow(/has undefined as metadata.url/);
});

test("lists come from files too, plain and gzipped", async () => {
  const plain = path.join(tempDir(), "domains.txt");
  const packed = path.join(tempDir(), "words.txt.gz");
  writeFileSync(plain, "# blocked\nbad.example\n\nworse.example\r\n");
  writeFileSync(packed, gzipSync("casino\npoker\n"));
  const filter = url({ blockedDomains: plain, bannedWords: packed, softWordThreshold: 1 });
  const verdicts = [
    "http://x.bad.example",
    "http://worse.example/a",
    "http://a.org/poker",
    "http://a.org/",
  ].map((url) => filter.apply(documentOf("", { url })));
  expect((await Promise.all(verdicts)).map((verdict) => (verdict.keep ? "kept" : verdict.reason))).toEqual([
    "domain",
    "domain",
    "hard_blacklisted",
    "kept",
  ]);
  await expect(
    url({ bannedWords: "/no/such.txt" }).apply(documentOf("", { url: "http://a.org" })),
  ).rejects.toThrow("/no/such.txt: there is no such file");
});

test("a filter without any list, unknown options and lists that are none are refused", () => {
  expect(() => url()).toThrow(/no list was given, one at least was needed: blockedDomains/);
  expect(() => url({ blockedDomain: ["a.org"] } as object)).toThrow(/is it blockedDomains/);
  expect(() => url({ bannedWords: [3] as unknown as string[] })).toThrow(/bannedWords is no list/);
  expect(() => url({ bannedWords: [], softWordThreshold: 0 })).toThrow(/softWordThreshold is 0/);
});

test("subwords are found as by looking for each", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "9"), maxLength: 20 });
  const words = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "9"), minLength: 1, maxLength: 5 }), {
    maxLength: 6,
  });
  fc.assert(
    fc.property(words, text, (words, text) => {
      expect(subwordSearch(words)(text)).toBe(words.some((word) => text.includes(word)));
    }),
  );
});
