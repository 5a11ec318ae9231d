const kGrouped = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
const kWhole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** Four significant digits for people: 0.0003 is 3e-4, 65536 is 65,536. Whole numbers keep all their digits. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return value === null ? "NaN" : String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e15))
    return String(Number(value.toPrecision(4)).toExponential());
  return Number.isInteger(value) || size >= 1e4 ? kWhole.format(value) : kGrouped.format(value);
}

/** A share as per cent, with one decimal. */
export function percentText(value: number): string {
  return Number.isFinite(value) ? `${(100 * value).toFixed(1)}%` : numberText(value);
}
