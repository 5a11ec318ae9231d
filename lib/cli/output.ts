import path from "node:path";

/** How the reader calls this program: by its file in a clone, where npx doesn't know it. */
export const program = (): string =>
  process.argv[1]?.endsWith("main.js") ? `node ${path.relative("", process.argv[1])}` : "npx mixwright";

/** One JSON object on a line of its own. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Facts for people: names in one column, values in the next. Absent values are left out. */
export function printTable(
  rows: readonly (readonly [name: string, value: string | number | undefined])[],
): void {
  const present = rows.filter(([, value]) => value !== undefined);
  const width = Math.max(...present.map(([name]) => name.length));
  for (const [name, value] of present) process.stdout.write(`${name.padEnd(width)}  ${value}\n`);
}

/** A remark for people, apart from what a program would read. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** 8 030 261 248 → "8.03B". */
export const shortCount = (n: number): string => scaled(n, 1000, ["", "k", "M", "B", "T"]);

/** 4 823 449 600 → "4.49 GiB". */
export const shortBytes = (n: number): string => scaled(n, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);

function scaled(n: number, base: number, units: readonly string[]): string {
  let value = n;
  let unit = 0;
  while (value >= base * 0.9995 && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${unit === 0 ? n : value.toPrecision(value < 999.5 ? 3 : 4)}${units[unit]}`;
}
