import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { escapeHtml, jsonForScript } from "../../lib/report/escape.ts";
import { renderReport, writeReport } from "../../lib/report/page.ts";
import type { Report, Section } from "../../lib/report/sections.ts";
import { fakeReport } from "../support/fake_run.ts";
import { tempDir } from "../support/temp_dir.ts";

const kEvil = `</script></style><script>alert(1)</script><!--<img src=x onerror="alert('2')">&amp;`;

/** Every place that takes a string holds the same hostile one. */
function hostileReport(): Report {
  const heading = { title: kEvil, note: kEvil };
  const sections: Section[] = [
    { kind: "curves", ...heading, xLabel: kEvil, yLabel: kEvil, series: [{ name: kEvil, points: [[1, 2]] }] },
    {
      kind: "heatMap",
      ...heading,
      rowLabel: kEvil,
      columnLabel: kEvil,
      rows: [kEvil],
      columns: [kEvil],
      frames: [
        { name: kEvil, values: [[0.5]] },
        { name: kEvil, values: [[1]] },
      ],
      balanced: 1,
    },
    {
      kind: "scatter",
      ...heading,
      xLabel: kEvil,
      yLabel: kEvil,
      series: [{ name: kEvil, points: [{ x: 1, y: 2, label: kEvil }], line: true }],
    },
    {
      kind: "rangeBars",
      ...heading,
      valueLabel: kEvil,
      reference: 1,
      groups: [{ name: kEvil, bars: [{ name: kEvil, mean: 1.1, min: 1, max: 1.2 }] }],
    },
    { kind: "samples", ...heading, columns: [kEvil], samples: [{ prompt: kEvil, texts: [kEvil] }] },
    { kind: "table", ...heading, columns: [kEvil], rows: [[kEvil]] },
    { kind: "facts", ...heading, facts: { [kEvil]: kEvil } },
    { kind: "text", ...heading, text: kEvil },
  ];
  return { title: kEvil, created: new Date(0), settings: { [kEvil]: kEvil }, sections };
}

test("text is escaped, controls become visible, line ends one kind", () => {
  expect(escapeHtml(`<a href="x" id='y'>&`)).toBe("&#60;a href=&#34;x&#34; id=&#39;y&#39;&#62;&#38;");
  expect(escapeHtml("\0\u0007\u001b\u007f\u0085\tA\r\nB\rC")).toBe("␀␇␛␡\ufffd\tA\nB\nC");
  expect(escapeHtml("\ud83d\ude00 \ud83d \ude00")).toBe("😀 \ufffd \ufffd");
});

test("JSON in a script can't close it, nor open a comment, and reads back", () => {
  const json = jsonForScript({ [kEvil]: [kEvil, "\u2028"] });
  expect(json).not.toContain("<");
  expect(JSON.parse(json)).toEqual({ [kEvil]: [kEvil, "\u2028"] });
});

test("no string of any section opens or closes an element", async () => {
  const html = await renderReport(hostileReport());
  expect(html).not.toContain("<img");
  expect(html).not.toContain("alert(1)</script");
  expect(html.match(/<!--/g)).toBeNull();
  const plain = await renderReport(
    JSON.parse(JSON.stringify(hostileReport()).replaceAll(/[<>&]/g, "_"), revive),
  );
  const tags = (page: string): string[] => page.match(/<\/?[a-z][a-z0-9]*/gi)!;
  expect(tags(html)).toEqual(tags(plain));
});

test("the page loads nothing, and its policy allows its own scripts only", async () => {
  const html = await renderReport(fakeReport());
  expect(html).not.toMatch(/(?:src|href)="(?!#|data:)/);
  expect(html).not.toMatch(/@import|url\(/);
  expect(html).toMatch(/content="default-src 'none'; [^"]*script-src 'sha256-[^"]+"/);
  const bare = await renderReport({ title: "none", created: new Date(0), settings: {}, sections: [] });
  expect(bare).toContain("script-src 'none'");
  expect(bare).not.toContain("<script");
});

test("headings go down one level at a time, and every link has its section", async () => {
  const html = await renderReport(fakeReport());
  const levels = [...html.matchAll(/<h(\d)/g)].map((m) => Number(m[1]));
  expect(levels[0]).toBe(1);
  for (let i = 1; i < levels.length; i++) expect(levels[i]! - levels[i - 1]!).toBeLessThanOrEqual(1);
  for (const [, id] of html.matchAll(/href="#([^"]+)"/g)) expect(html).toContain(`id="${id}"`);
});

test("empty sections say so", async () => {
  const heading = { title: "t" };
  const html = await renderReport({
    title: "t",
    created: new Date(0),
    settings: {},
    sections: [
      {
        kind: "curves",
        ...heading,
        xLabel: "x",
        yLabel: "y",
        series: [{ name: "a", points: [[1, Number.NaN]] }],
      },
      { kind: "heatMap", ...heading, rowLabel: "r", columnLabel: "c", rows: [], columns: [], frames: [] },
      { kind: "rangeBars", ...heading, valueLabel: "v", reference: 1, groups: [] },
      { kind: "samples", ...heading, columns: [], samples: [] },
    ],
  });
  expect(html.match(/class="empty"/g)).toHaveLength(4);
});

test("writeReport leaves one whole file and nothing else", async () => {
  const dir = tempDir();
  const file = path.join(dir, "deep", "report.html");
  await writeReport(file, fakeReport());
  await writeReport(file, fakeReport());
  expect(readFileSync(file, "utf8")).toBe(await renderReport(fakeReport()));
  expect(readdirSync(path.dirname(file))).toEqual(["report.html"]);
});

function revive(key: string, value: unknown): unknown {
  return key === "created" ? new Date(value as string) : value;
}
