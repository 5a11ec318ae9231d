import { expect, test } from "vitest";
import { decodePage } from "../../../lib/data/readers/page_charset.ts";

const kRussian = "Быстрая рыжая лиса прыгает через ленивую собаку. ".repeat(5);
const kJapanese = "すばやい茶色の狐がのろまな犬を飛び越える。漢字も混ざる。".repeat(5);
const kChinese = "敏捷的棕色狐狸跳过懒狗。这是一个用来测试编码的句子。".repeat(5);
const kFrench = "Voyez le brick géant que j'examine près du wharf, où l'été s'achève déjà. ".repeat(5);

/** Bytes of a text in an encoding of one or two bytes, by trying all of them: Node only decodes. */
function encode(text: string, encoding: string): Buffer {
  const decoder = new TextDecoder(encoding);
  const bytesOf = new Map<string, number[]>();
  for (let high = 0x81; high < 0xff; high++)
    for (let low = 0x40; low < 0xff; low++) {
      const [char = "", ...more] = decoder.decode(Uint8Array.of(high, low));
      if (more.length === 0 && !bytesOf.has(char)) bytesOf.set(char, [high, low]);
    }
  for (let byte = 0; byte < 256; byte++) bytesOf.set(decoder.decode(Uint8Array.of(byte)), [byte]);
  return Buffer.from([...text].flatMap((char) => bytesOf.get(char)!));
}

const texts = [
  ["shift_jis", kJapanese],
  ["euc-jp", kJapanese],
  ["windows-1251", kRussian],
  ["koi8-r", kRussian],
  ["windows-1252", kFrench],
  ["gb18030", kChinese],
  ["gbk", kChinese],
] as const;

test("an encoding that the server or the page names", () => {
  for (const [encoding, text] of texts) {
    const page = (head: string) => `<html><head>${head}</head><p>${text}`;
    const decoded = { text: page(""), charset: encoding };
    expect(decodePage(encode(page(""), encoding), `text/html; charset="${encoding}"`)).toEqual(decoded);
    for (const head of [
      `<meta charset=${encoding}>`,
      `<META HTTP-EQUIV='Content-Type' CONTENT='text/html; CHARSET=${encoding.toUpperCase()}'>`,
    ])
      expect(decodePage(encode(page(head), encoding), "text/html")).toEqual({
        text: page(head),
        charset: encoding,
      });
  }
  const xml = `<?xml version="1.0" encoding="windows-1251"?><p>${kRussian}`;
  expect(decodePage(encode(xml, "windows-1251"), undefined)?.text).toBe(xml);
});

test("an encoding that nobody names is found by the bytes outside of tags", () => {
  for (const [encoding, text] of texts) {
    const page = `<html><head><style>${".a {b: c} ".repeat(50)}</style></head><p>${text}`;
    const decoded = decodePage(encode(page, encoding), undefined)!;
    expect(decoded.text, encoding).toBe(page);
  }
});

test("what is UTF-8 is UTF-8, whatever is said of it, also when cut off within a character", () => {
  const bytes = Buffer.from(`<p>${kJapanese}`);
  for (const said of [undefined, "text/html; charset=iso-8859-1", "text/html; charset=shift_jis"])
    expect(decodePage(bytes, said)).toEqual({ text: bytes.toString(), charset: "utf-8" });
  for (let cut = 1; cut < 3; cut++)
    expect(decodePage(bytes.subarray(0, bytes.length - cut), undefined)).toMatchObject({ charset: "utf-8" });
  expect(decodePage(Buffer.from("\ufeff<p>x"), undefined)?.text).toBe("<p>x");
});

test("a page of UTF-8 with a few broken bytes stays UTF-8; one with many was said wrongly", () => {
  const broken = Buffer.concat([Buffer.from(`<p>${kFrench}`), Buffer.of(0xff), Buffer.from("é")]);
  expect(decodePage(broken, "text/html; charset=utf-8")).toMatchObject({ charset: "utf-8" });
  const latin1 = Buffer.from(`<p>${kFrench}`, "latin1");
  expect(decodePage(latin1, "text/html; charset=utf-8")?.text).toBe(`<p>${kFrench}`);
});

test("UTF-16 by its mark; its name alone is not believed; escapes of ISO-2022-JP; names of nothing", () => {
  const text = `<p>${kRussian}`;
  const wide = Buffer.from(`\ufeff${text}`, "utf16le");
  expect(decodePage(wide, undefined)).toEqual({ text, charset: "utf-16le" });
  expect(decodePage(Buffer.from(wide).swap16(), undefined)).toEqual({ text, charset: "utf-16be" });
  expect(decodePage(encode(text, "windows-1251"), "text/html; charset=utf-16le")?.text).toBe(text);
  const escapes = Buffer.from("<p>\x1b$B$3$s\x1b(B");
  expect(decodePage(escapes, "text/html; charset=iso-2022-jp")?.text).toBe("<p>こん");
  expect(decodePage(encode(text, "windows-1251"), "text/html; charset=nonsense")?.text).toBe(text);
});
