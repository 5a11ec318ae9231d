import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { ConfigError } from "../../../lib/core/errors.ts";
import { mainText } from "../../../lib/data/extract/index.ts";
import { extract } from "../../../lib/data/extract/main_text.ts";

const kSentence = "The quick brown fox jumps over the lazy dog and runs on into the dark wood. ";
const prose = (n = 4) => `<p>${kSentence.repeat(n)}</p>`;
const line = (n = 4) => kSentence.repeat(n).trim();

/** The lines of a page's main text; its reason where it is dropped. */
function lines(html: string, timeoutMs = 60_000): string[] {
  const verdict = extract(html, timeoutMs);
  return verdict.keep ? verdict.text!.split("\n") : [`(${verdict.reason})`];
}

test("what stands around the main text goes: menus, banners, comments, related pages, forms, footers", () => {
  const around = {
    before: `<header><h1>Site</h1></header><nav><ul><li><a href=/>Home</a><li><a href=/a>About</a></ul></nav>
      <div id="cookie-banner"><p>${"We use cookies to improve what we do for you on this site. ".repeat(2)}</p></div>
      <div class="navbar-top"><a href=/login>Log in</a></div><div role="search">Search this site</div>`,
    after: `<section id="comments"><div class="comment"><p>${"I read this and I liked it, thank you very much. ".repeat(3)}</p></div></section>
      <div class="relatedPosts"><h3>Related</h3><a href=/1>One more story</a> <a href=/2>Another story</a></div>
      <form><p>Leave your address and we shall write to you about everything, every day.</p><input></form>
      <footer><p>Copyright 2024 by nobody in particular. All rights reserved for ever and ever.</p></footer>`,
  };
  for (const [open, close] of [
    ["<main><article>", "</article></main>"],
    ["<div class='container'><div id=content>", "</div></div>"],
    ["<table><tr><td>", "</td></tr></table>"],
    ["", ""],
  ]) {
    const page = `<body>${around.before}${open}<h2>Title</h2>${prose()}${prose(5)}${close}${around.after}</body>`;
    expect(lines(page)).toEqual(["Title", line(), line(5)]);
  }
});

test("a page all of which stands in a form, a comment or a footer is still read", () => {
  for (const [open, close] of [
    ["<form id=aspnetForm>", "</form>"],
    ["<div class='comments'>", "</div>"],
    ["<body class='has-sidebar ads menu'><footer>", "</footer>"],
  ])
    expect(lines(`${open}<div>${prose()}${prose(2)}</div>${close}`)).toEqual([line(), line(2)]);
});

test("what no reader sees is no text: scripts, styles, templates, noscript, hidden elements, heads, comments", () => {
  expect(
    lines(`<head><title>T</title><style>p { color: red }</style></head><body>${prose()}
      <script>if (a < b) document.write("<p>written</p>")</script><noscript><p>Switch scripts on</p></noscript>
      <template><p>template</p></template><svg><text>drawn</text></svg><!-- <p>comment</p> -->
      <p hidden>hidden</p><p style="color: red; display : none">none</p><div style="visibility:hidden">x</div>
      <span aria-hidden="true">x</span><select><option>One</select><textarea>t</textarea><iframe>f</iframe>${prose(2)}`),
  ).toEqual([line(), line(2)]);
});

test("a line for each paragraph, heading, item, row and line of code, in reading order", () => {
  const page = `<div>${prose()}<h2>A <em>heading</em></h2>some text<br>after a break<hr>
    <ul><li>one</li><li>two<ul><li>inner</li></ul>rest</li><li><p>para</p><p>second</p></ul>
    <blockquote>quoted</blockquote><dl><dt>term<dd>meaning</dl>
    <table><tr><th>Name<th>Size</tr><tr><td>a <b>b</b></td><td></td><td>2</td></tr><tr><td><p>x</p><td>y</table>
    <pre>code {\n    indented\n\n}\n</pre>${prose(2)}</div>`;
  expect(lines(page)).toEqual([
    ...[line(), "A heading", "some text", "after a break"],
    ...["- one", "- two", "- inner", "rest", "- para", "second"],
    ...["quoted", "term", "meaning", "Name | Size", "a b | 2", "x | y"],
    ...["code {", "    indented", "}", line(2)],
  ]);
});

test("tables that lay out a page, one within the other, are blocks", () => {
  const inner = `<table><tr><td>${prose()}</td></tr><tr><td>left</td><td>right</td></tr></table>`;
  const page = `<table><tr><td><nav><a href=/>Home</a></nav></td></tr><tr><td>${inner}</td><td>${prose(2)}</td></tr></table>`;
  expect(lines(page)).toEqual([line(), "left | right", line(2)]);
  const broken = `${kSentence.repeat(4)}<br><br>${kSentence.repeat(3)}`;
  const old = `<table><tr><td>Menu</td><td><b>Title</b><br>${broken}</td></tr></table>`;
  expect(lines(old).slice(-3)).toEqual(["Title", line(), line(3)]);
});

test("lists of links go, links within text stay, and headings with nothing under them go", () => {
  const links = "<ul><li><a href=1>One story</a><li><a href=2>Two stories</a></ul>";
  const text = `<p>${kSentence}<a href=x>Linked words</a> and ${kSentence}</p>`;
  expect(
    lines(`<div>${text}<h2>See also</h2>${links}<h2>More</h2><h3>Part</h3>${prose()}<h3>Empty</h3></div>`),
  ).toEqual([`${kSentence}Linked words and ${kSentence}`.trim(), ...["More", "Part", line()]]);
});

test("a sidebar in the midst of prose is a box of a book; beside it, it is a sidebar", () => {
  const box = `<div class="sidebar"><p>${"A note on foxes that a reader may want. ".repeat(3)}</p></div>`;
  const note = "A note on foxes that a reader may want. ".repeat(3).trim();
  expect(lines(`<div>${prose()}${box}${prose(3)}</div>`)).toEqual([line(), note, line(3)]);
  expect(lines(`<div>${prose()}${prose(3)}</div>${box}`)).toEqual([line(), line(3)]);
});

test("sections of one text stay together, however long the longest of them is", () => {
  const page = `<div><div><h2>One</h2>${prose(40)}</div><div><h2>Two</h2>${prose(4)}</div></div>`;
  expect(lines(page)).toEqual(["One", line(40), "Two", line(4)]);
});

test("short pages, and text of scripts that need fewer characters", () => {
  expect(lines("<p>Hello, world</p>")).toEqual(["Hello, world"]);
  expect(lines("just text")).toEqual(["just text"]);
  const chinese = "敏捷的棕色狐狸跳过懒狗，然后跑进黑暗的森林里去了。";
  expect(
    lines(`<div><nav>${"首页".repeat(9)}</nav><div><p>${chinese}</p><p>${chinese}</p></div></div>`),
  ).toEqual([chinese, chinese]);
});

test("entities, white space and control characters", () => {
  expect(
    lines(
      "<p>a &amp;&lt;b&gt;&nbsp;&eacute;&#x4e2d;&#8212;&noentity; &copy 1 \t\n x\u00a0\u00a0y\0\x07z&#xD800;</p>",
    ),
  ).toEqual(["a &<b> é中—&noentity; © 1 x yz\ufffd"]);
});

test("broken markup: nothing closed, closed twice, wrongly nested, no body, no head, cut off within a tag", () => {
  const both = [line(), line(2)];
  const p = (n = 4) => `<p>${kSentence.repeat(n)}`;
  for (const page of [
    `<html><head><title>x</title><body>${p()}${p(2)}`,
    `<title>x</title><meta name=a>${p()}${p(2)}`,
    `<html><head><title>x</title><link rel=a>${p()}${p(2)}`,
    `</div></p></html>${p()}</p></p></span>${p(2)}</body></body></html></html>`,
    `<b><i>${p()}</b></i>${p(2)}</font>`,
    `<div <p>${p()}${p(2)}`,
    `${p()}${p(2)}<a href="http://`,
    `<?xml version="1.0"?><!DOCTYPE html><html xmlns="a">${p()}${p(2)}<![CDATA[ x ]]>`,
    `${p()}${p(2)}<!-- never closed ${p()}`,
    `${p()}${p(2)}<script>never closed ${p()}`,
  ])
    expect(lines(page), page.slice(0, 60)).toEqual(both);
});

test("nothing is left: dropped as empty", () => {
  for (const page of [
    "",
    " \n ",
    "<html><body></body></html>",
    "<script>a</script>",
    "<img src=a>",
    "<title>only</title>",
  ])
    expect(lines(page)).toEqual(["(empty)"]);
});

test("large pages and pages made to be slow are read, or cut off by name", () => {
  const pages: Record<string, string> = {
    "10 MB of paragraphs": prose().repeat(33_000),
    "100,000 elements within each other": `${"<div>".repeat(100_000)}${prose()}`,
    "closings of what was never opened": `${"<div>".repeat(4000)}${"</b>".repeat(500_000)}${prose()}`,
    "asides deep below": `${"<div>".repeat(4000)}${"<nav>a</nav>".repeat(50_000)}${prose()}`,
    "boxes side by side": `<div>${`<aside>${prose()}</aside>`.repeat(10_000)}${prose()}</div>`,
    "a table of a million cells": `<table><tr>${"<td>x".repeat(1_000_000)}</table>${prose()}`,
    attributes: `<div ${"a=b ".repeat(500_000)}class='${"x-y ".repeat(500_000)}' style='${"display:".repeat(200_000)}'>`,
    brackets: "<".repeat(1_000_000),
    "half a comment": `<!--${"-".repeat(3_000_000)}`,
    "white space": `<p>${" \n".repeat(2_000_000)}`,
    headings: "<h1>x</h1>".repeat(100_000),
  };
  for (const [name, page] of Object.entries(pages)) {
    const start = performance.now();
    const [found] = lines(page, 1000);
    expect(found, name).toMatch(/^(\((timeout|too_deep|too_many_nodes|empty)\)|The quick.*|x|<+)$/);
    // The clock is looked at every few ms of work; the machine may have much else to do.
    expect(performance.now() - start, name).toBeLessThan(8000);
  }
  expect(lines(`${"<div>".repeat(100_000)}${prose()}`)).toEqual(["(too_deep)"]);
  expect(lines("<br>".repeat(1_000_001))).toEqual(["(too_many_nodes)"]);
  expect(lines(`${"<div>".repeat(4000)}${prose()}`)).toEqual([line()]);
}, 120_000);

test("a page that takes longer than its time is dropped; the next one is read", async () => {
  const step = mainText({ timeoutMs: 50 });
  const document = { id: "1", text: prose().repeat(60_000), metadata: {} };
  expect(await step.apply(document)).toEqual({ keep: false, reason: "timeout" });
  expect(await mainText({ timeoutMs: 60_000 }).apply(document)).toMatchObject({ keep: true });
  // The clock runs on while the machine does other things, so that even a short page may need a second try here.
  const short = async () =>
    expect(await step.apply({ ...document, text: "<p>short</p>" })).toMatchObject({ text: "short" });
  await vi.waitFor(short, { timeout: 20_000 });
});

test("the step: the title, plain text of WET files, its description, wrong options", async () => {
  const step = mainText();
  const page = `<head><title> The\n title &amp; more </title></head>${prose()}<svg><title>no</title></svg>`;
  expect(await step.apply({ id: "1", text: page, metadata: {} })).toEqual({
    keep: true,
    text: line(),
    metadata: { title: "The title & more" },
  });
  const plain = { id: "1", text: "a <b>\n c", metadata: { contentType: "text/plain" } };
  expect(await step.apply(plain)).toEqual({ keep: true, text: plain.text });
  expect(step.description).toEqual({ step: "extract.mainText", options: { timeoutMs: 1000 } });
  expect(() => mainText({ timeoutMs: -1 })).toThrow(ConfigError);
  expect(() => mainText({ timeout: 1 } as object)).toThrow(ConfigError);
});

test("no page is fatal: whatever the tags, the text comes from it, without empty lines", () => {
  const tag = fc.constantFrom(
    ..."p div table tr td li ul h1 pre br a nav aside script head title body svg form html b".split(" "),
  );
  const piece = fc.oneof(
    tag.map((name) => `<${name}>`),
    tag.map((name) => `</${name}>`),
    fc.constantFrom("<", ">", "&", "<!--", "-->", "\n", "\u3042", "<!", "<a href='", " class=nav>", "\r"),
    fc.lorem({ maxCount: 8 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const verdict = extract(pieces.join(""), 60_000);
      if (!verdict.keep) expect(verdict.reason).toBe("empty");
      else for (const text of verdict.text!.split("\n")) expect(text.trim()).not.toBe("");
    }),
    { numRuns: 500 },
  );
});
