import { existsSync } from "node:fs";
import path from "node:path";

const root = process.env.MIXWRIGHT_SHARED ?? path.resolve(import.meta.dirname, "../../../shared");

/** Path of a reference file that stands beside the checkout in our CI, or undefined where users run without it. */
export function sharedPath(relative: string): string | undefined {
  const file = path.join(root, relative);
  return existsSync(file) ? file : undefined;
}
