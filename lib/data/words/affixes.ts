import {
  BEFORE_STOP,
  CURRENCY,
  classOf,
  codePointAt,
  codePointBefore,
  codePointClass,
  PREFIX,
  SUFFIX,
  UPPER,
} from "./character_class.ts";

const DOT = 0x2e;
const PLUS = 0x2b;
const DOLLAR = 0x24;
const DEGREE = 0xb0;

const units = new Set(
  (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa " +
    "mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч " +
    "кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тб كم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ غرام جرام جم كغ ملغ كوب اكواب"
  ).split(" "),
);
const longestUnit = 5;

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** Code units that split off the beginning of [start, end), 0 if none. */
export function prefixLength(codes: Uint16Array, start: number, end: number): number {
  const code = codes[start]!;
  if (code === DOT) {
    let at = start + 1;
    while (at < end && codes[at] === DOT) at++;
    return at - start >= 2 ? at - start : 0;
  }
  if (code === PLUS) return start + 1 < end && isDigit(codes[start + 1]!) ? 0 : 1;
  // US$, C$ and A$ are one mark.
  if (code === 0x55 && codes[start + 1] === 0x53 && codes[start + 2] === DOLLAR && start + 2 < end) return 3;
  if ((code === 0x43 || code === 0x41) && codes[start + 1] === DOLLAR && start + 1 < end) return 2;
  const whole = codePointAt(codes, start, end);
  return codePointClass(whole) & PREFIX ? (whole > 0xffff ? 2 : 1) : 0;
}

/** Code units that split off the end of [start, end), 0 if none. */
export function suffixLength(codes: Uint16Array, start: number, end: number): number {
  if (start >= end) return 0;
  const last = codes[end - 1]!;
  if (last === DOT) return stopLength(codes, start, end);
  if ((last === 0x73 || last === 0x53) && end - start >= 2) {
    const before = codes[end - 2]!;
    if (before === 0x27 || before === 0x2019) return 2;
  }
  const afterDigit = measureLength(codes, start, end);
  if (afterDigit > 0) return afterDigit;
  if (last === PLUS) return end - start >= 2 && isDigit(codes[end - 2]!) ? 1 : 0;
  const whole = codePointBefore(codes, start, end);
  const bits = codePointClass(whole);
  if (!(bits & SUFFIX)) return 0;
  if (whole === 0x2026 && end - start >= 2 && codes[end - 2] === 0x2026) return 2;
  return whole > 0xffff ? 2 : 1;
}

/** A full stop goes where it ends a sentence rather than an abbreviation; a row of them is one mark. */
function stopLength(codes: Uint16Array, start: number, end: number): number {
  let at = end - 1;
  while (at > start && codes[at - 1] === DOT) at--;
  if (end - at >= 2) return end - at;
  if (at === start) return 0;
  const before = codePointClass(codePointBefore(codes, start, at));
  if (before & BEFORE_STOP) return 1;
  if (at - start < 2) return 0;
  if (before & UPPER) {
    const width = codes[at - 1]! >= 0xdc00 && codes[at - 1]! <= 0xdfff ? 2 : 1;
    if (at - width > start && codePointClass(codePointBefore(codes, start, at - width)) & UPPER) return 1;
  }
  const letter = codes[at - 1]! | 0x20;
  const degrees = codes[at - 2] === DEGREE && (letter === 0x63 || letter === 0x66 || letter === 0x6b);
  return degrees ? 1 : 0;
}

/** A unit or a currency right after a digit: the "kg" of 5kg. */
function measureLength(codes: Uint16Array, start: number, end: number): number {
  let at = end;
  while (at > start && end - at <= longestUnit && !isDigit(codes[at - 1]!)) at--;
  if (at === end || at === start || !isDigit(codes[at - 1]!)) return 0;
  if (classOf[codes[end - 1]!]! & CURRENCY) {
    if (end - at === 1) return 1;
    const money = String.fromCharCode(...codes.subarray(at, end));
    return money === "US$" || money === "C$" || money === "A$" ? end - at : 0;
  }
  return units.has(String.fromCharCode(...codes.subarray(at, end))) ? end - at : 0;
}
