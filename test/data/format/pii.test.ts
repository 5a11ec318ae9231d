import { readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Document } from "../../../lib/data/document.ts";
import { replaceEmails } from "../../../lib/data/format/emails.ts";
import { type PiiOptions, pii } from "../../../lib/data/format/pii.ts";
import { sharedPath } from "../../support/shared_data.ts";
import { taskContext } from "../../support/task_context.ts";
import { documentOf, verdictOf } from "../../support/verdicts.ts";

const after = (text: string, options?: PiiOptions): string | undefined => {
  const verdict = verdictOf(pii(options), text);
  return verdict.keep ? verdict.text : undefined;
};

test("e-mail addresses get the two replacements in turns", () => {
  expect(after("a@b.co, a@b.co and a@b.co.")).toBe(
    "email@example.com, firstname.lastname@example.org and email@example.com.",
  );
});

test("public addresses get the six replacements in turns, private ones stay", () => {
  expect(after("8.8.8.8 ".repeat(7))).toBe(
    "22.214.171.124 126.96.36.199 188.8.131.52 184.108.40.206 220.127.116.11 18.104.22.168 22.214.171.124 ",
  );
  const kept =
    "10.0.0.1 192.168.7.9 172.16.0.1 127.0.0.1 100.64.0.1 169.254.1.1 203.0.113.5 255.255.255.255 0.0.0.0";
  expect(after(kept)).toBe(kept);
  expect(after(kept, { onlyRemovePublicIps: false, ipReplacement: ["x"] })).toBe("x x x x x x x x x");
  expect(after("172.32.0.1 192.0.0.9 224.0.0.1 1.2.3 1.2.3.04 256.1.1.1", { ipReplacement: ["x"] })).toBe(
    "x x x 1.2.3 1.2.3.04 2x",
  );
});

test.each([
  ["(first.last+tag@sub.site-a.org).", "(X)."],
  ["a..b@c.de", "a..X"],
  [".b@c.de -b@c.de", ".X -X"],
  ["b.@c.de b@c b@.de b@-c.de @c.de", "b.@c.de b@c b@.de b@-c.de @c.de"],
  ["b@c.de. b@c.d-e- b@c-.de", "X. X- b@c-.de"],
  ["éa.b@c.de", "éa.X"],
  ["a@b@c.de", "a@X"],
  ["a@b.cd@e.fg", "X@e.fg"],
  ["a@[8.8.8.8] a@[1.2.3.x-y:] a@[1.2.3]", "X X a@[1.2.3]"],
])("%s", (text, expected) => {
  expect(replaceEmails(text, () => "X")).toBe(expected);
});

test("addresses are found where one regular expression of the rule finds them", () => {
  const word = "[\\p{L}\\p{N}_]";
  const border = `(?:(?<!${word})(?=${word})|(?<=${word})(?!${word}))`;
  const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-]+";
  const label = "[A-Za-z0-9](?:[A-Za-z0-9\\-]*[A-Za-z0-9])?";
  const rule = new RegExp(`${border}${atom}(?:\\.${atom})*@(?:${label}\\.)+${label}`, "gu");
  const text = fc.string({
    unit: fc.constantFrom("a", "b", ".", "@", "-", "_", " ", "é", "!", "𝒜"),
    maxLength: 30,
  });
  fc.assert(
    fc.property(text, (text) => {
      expect(replaceEmails(text, () => "<X>")).toBe(text.replace(rule, "<X>"));
    }),
    { numRuns: 5000 },
  );
});

test("turns go on within a task and begin again with the next", async () => {
  const step = pii();
  const texts = async (): Promise<string[]> => {
    async function* documents(): AsyncGenerator<Document> {
      yield documentOf("a@b.co");
      yield documentOf("c@d.eu", { kept: 1 });
    }
    const out: Document[] = [];
    for await (const document of step.run(documents(), taskContext())) out.push(document);
    expect(out[1]!.metadata).toEqual({ kept: 1 });
    return out.map(({ text }) => text);
  };
  expect(await texts()).toEqual(["email@example.com", "firstname.lastname@example.org"]);
  expect(await texts()).toEqual(["email@example.com", "firstname.lastname@example.org"]);
});

test("parts are switched off, and what isn't an option is refused", () => {
  expect(after("a@b.co 8.8.8.8", { removeEmails: false })).toBe("a@b.co 22.214.171.124");
  expect(after("a@b.co 8.8.8.8", { removeIps: false })).toBe("email@example.com 8.8.8.8");
  expect(() => pii({ removeIp: true } as object)).toThrow(/is it removeIps/);
  expect(() => pii({ emailReplacement: [] })).toThrow(
    /emailReplacement is \[\], a list of at least one text was needed/,
  );
});

test.each([
  "a!".repeat(1e6),
  "a@".repeat(1e6),
  "1.1.".repeat(5e5),
  `${"a.".repeat(1e6)}@`,
  "a@b.".repeat(5e5),
])("2 MB that look like addresses take no time", (text) => {
  const start = process.cpuUsage();
  after(text);
  expect(process.cpuUsage(start).user / 1e6).toBeLessThan(20);
});

const reference = sharedPath("data/web/filter_ref");
test.skipIf(!reference)("a page of addresses comes out as datatrove 0.10 leaves it", () => {
  const read = (file: string): string => gunzipSync(readFileSync(path.join(reference!, file))).toString();
  const { docs } = JSON.parse(read("datatrove_decisions.json.gz")) as { docs: { pii?: string }[] };
  const at = docs.findIndex(({ pii }) => pii !== undefined);
  const { text } = JSON.parse(read("docs.jsonl.gz").split("\n")[at]!) as { text: string };
  expect(after(text)).toBe(docs[at]!.pii);
  expect(text).not.toBe(docs[at]!.pii);
});
