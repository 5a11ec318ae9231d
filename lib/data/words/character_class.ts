import { sentenceMarks, symbolMarks, terminalMarks } from "./marks.ts";

/** What a character is to the word splitter and to the filters; bits of one number. */
export const SPACE = 1 << 0;
export const DIGIT = 1 << 1;
/** A letter of the scripts that the word splitter knows. Scripts without case count as both lower and upper. */
export const ALPHA = 1 << 2;
export const LOWER = 1 << 3;
export const UPPER = 1 << 4;
/** Splits off at a word's start, at its end. */
export const PREFIX = 1 << 5;
export const SUFFIX = 1 << 6;
export const QUOTE = 1 << 7;
/** Pictures and other symbols: words of their own wherever they stand. */
export const ICON = 1 << 8;
export const CURRENCY = 1 << 9;
/** Before a full stop that ends a word. */
export const BEFORE_STOP = 1 << 10;
/** Takes part in some rule of the word splitter: without one of these, what stands between spaces is one word. */
export const ACTIVE = 1 << 11;
/** Any letter of any script: Python's isalpha. */
export const LETTER = 1 << 12;
/** Makes no word by itself; as it was in 2024, when marks of other scripts weren't among them. */
export const SYMBOL = 1 << 13;
export const SYMBOL_2024 = 1 << 14;
export const SENTENCE_END = 1 << 15;
export const TERMINAL = 1 << 16;
/** Unicode's punctuation. */
export const PUNCTUATION = 1 << 17;
/** Ends a line for Python's splitlines. */
export const LINE_END = 1 << 18;

/** Set for code points whose properties were looked up already. */
const ASKED = 1 << 30;

/** Python's isspace; JavaScript's \s has U+FEFF more, and lacks U+001C to U+001F and U+0085. */
const spaces =
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" +
  "\u2028\u2029\u202f\u205f\u3000";
const lineEnds = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029";

const quotes = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧";
const marks = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪";
const currencies = "$£€¥฿₽﷼₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿";

/** Scripts without case that count as letters, and marks within their blocks. */
const uncased =
  /[\u1200-\u137F\u0980-\u09FF\u0591-\u05F4\uFB1D-\uFB4F\u0620-\u064A\u066E-\u06D5\u06E5-\u06FF\u0750-\u077F\u08A0-\u08BD\uFB50-\uFBB1\uFBD3-\uFD3D\uFD50-\uFDC7\uFDF0-\uFDFB\uFE70-\uFEFC\u{1EE00}-\u{1EEBB}\u0D80-\u0DFF\u0900-\u097F\u0C80-\u0CFF\u0B80-\u0BFF\u0C00-\u0C7F\uAC00-\uD7AF\u1100-\u11FF\u3040-\u30FF\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2EBEF}\u2E80-\u2FDF\u2FF0-\u303F\u31C0-\u31EF\u3200-\u33FF\uF900-\uFAFF\uFE30-\uFE4F\u{1F200}-\u{1F2FF}\u{2F800}-\u{2FA1F}]+/gu;
const cased =
  /[A-Za-zＡ-Ｚａ-ｚÀ-ÖØ-öø-ƿǄ-ʯᴀ-ᴥᵫ-ᵷᵹ-ᶚḀ-ỿⱠ-ⱻⱾⱿꜢ-ꝯꝱ-ꞇꞋ-ꞎꞐ-ꞹꟺꬰ-ꭚꭠ-ꭤА-яЁёӘәӨөҮүҖҗҢңҺһЄєІіЇїҐґЃѓЅѕЈјЉљЊњЌќЀѐЍѝΑ-ΩΆΈΊΌΏΉΎα-ωάέίόώήύ]+/gu;

/** Class bits of each UTF-16 code unit, once `fillClasses` has run. Surrogates have ACTIVE alone: see `astralClass`. */
export const classOf = new Int32Array(0x10000);
const astral = new Map<number, number>();

function add(code: number, bits: number): void {
  if (code < 0x10000) classOf[code]! |= bits;
  else astral.set(code, (astral.get(code) ?? 0) | bits);
}

function addAll(text: string, bits: number): void {
  for (const char of text) add(char.codePointAt(0)!, bits);
}

let filled = false;

/** Fills the table the first time: 30 ms, which a program that looks at no text needn't spend. */
export function fillClasses(): void {
  if (filled) return;
  filled = true;
  addAll(spaces, SPACE);
  addAll(lineEnds, LINE_END);
  addAll("0123456789", DIGIT);
  addAll(quotes, QUOTE | PREFIX | SUFFIX | BEFORE_STOP);
  addAll(marks, PREFIX | SUFFIX | BEFORE_STOP);
  addAll("§%=—–", PREFIX);
  addAll("—–", SUFFIX);
  addAll(currencies, PREFIX | CURRENCY);
  addAll("0123456789%²-+|", BEFORE_STOP);
  for (const code of terminalMarks) add(code, TERMINAL | SYMBOL);
  for (const code of sentenceMarks) add(code, SENTENCE_END);
  for (const code of symbolMarks) add(code, SYMBOL | SYMBOL_2024);
  addMatches();
  for (let code = 0; code < 0x10000; code++) {
    const bits = classOf[code]!;
    const surrogate = code >= 0xd800 && code < 0xe000;
    if (surrogate || bits & (PREFIX | SUFFIX | QUOTE | ICON | CURRENCY)) classOf[code]! |= ACTIVE;
    if (bits & LOWER) classOf[code]! |= BEFORE_STOP;
  }
  addAll("+.-*^~:/@%²", ACTIVE);
}

/** Classes that Unicode properties and long ranges give, of code points below 0x10000. */
function addMatches(): void {
  const properties: [RegExp, number][] = [
    [/\p{L}+/gu, LETTER],
    [/\p{P}+/gu, PUNCTUATION],
    [/\p{So}+/gu, ICON | PREFIX | SUFFIX],
    [uncased, ALPHA | LOWER | UPPER],
    [cased, ALPHA],
  ];
  // Surrogates, which lie between, aren't characters.
  for (const [start, end] of [
    [0, 0xd800],
    [0xe000, 0x10000],
  ] as const) {
    const codes = Uint16Array.from({ length: end - start }, (_, i) => start + i);
    const text = Buffer.from(codes.buffer).toString("utf16le");
    for (const [pattern, bits] of properties) {
      for (const { 0: found, index } of text.matchAll(pattern)) {
        for (let i = index; i < index + found.length; i++) add(start + i, bits);
        if (pattern === cased) addCase(found, start + index);
      }
    }
  }
}

function addCase(letters: string, first: number): void {
  for (let i = 0; i < letters.length; i++) {
    if (/\p{Lu}/u.test(letters[i]!)) add(first + i, UPPER);
    else if (/\p{Ll}/u.test(letters[i]!)) add(first + i, LOWER);
  }
}

/** Class bits of a code point from 0x10000 up. */
export function astralClass(code: number): number {
  let bits = astral.get(code) ?? 0;
  if (bits & ASKED) return bits;
  const char = String.fromCodePoint(code);
  if (/\p{L}/u.test(char)) bits |= LETTER;
  if (/\p{P}/u.test(char)) bits |= PUNCTUATION;
  if (/\p{So}/u.test(char)) bits |= ICON | PREFIX | SUFFIX;
  uncased.lastIndex = 0;
  if (uncased.test(char)) bits |= ALPHA | LOWER | UPPER | BEFORE_STOP;
  astral.set(code, bits | ASKED);
  return bits;
}

/** The code point at a position, both halves of a pair read as one. A half alone stands for itself. */
export function codePointAt(codes: Uint16Array, at: number, end: number): number {
  const high = codes[at]!;
  if (high < 0xd800 || high > 0xdbff || at + 1 >= end) return high;
  const low = codes[at + 1]!;
  return low < 0xdc00 || low > 0xdfff ? high : (high - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000;
}

/** The code point that ends before `end`. */
export function codePointBefore(codes: Uint16Array, start: number, end: number): number {
  const low = codes[end - 1]!;
  if (low < 0xdc00 || low > 0xdfff || end - 2 < start) return low;
  const high = codes[end - 2]!;
  return high < 0xd800 || high > 0xdbff ? low : (high - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000;
}

/** Class bits of any code point. */
export const codePointClass = (code: number): number => (code < 0x10000 ? classOf[code]! : astralClass(code));
