import { readdir, stat } from "node:fs/promises";
import path from "node:path";

const kSpecial = /[*?[{]/;

/** The folder that all files of a pattern lie below: its part before the first wildcard. */
export function baseOfGlob(pattern: string): string {
  const parts = pattern.split("/");
  const wild = parts.findIndex((part) => kSpecial.test(part));
  return parts.slice(0, wild === -1 ? -1 : wild).join("/") || (pattern.startsWith("/") ? "/" : ".");
}

/**
 * Files that match a pattern, in the order of their names' bytes: `*` and `?` within a name, `**` over folders, `[a-c]`, and
 * `{a,b}`. A pattern without any of these is a file, or a folder that stands for all files below it. Names that begin with
 * a dot match only where the pattern writes the dot. None is an empty list.
 */
export async function filesOfGlob(pattern: string): Promise<string[]> {
  if (!kSpecial.test(pattern)) {
    const found = await stat(pattern).catch(ignoreMissing);
    if (!found) return [];
    return found.isDirectory() ? filesOfGlob(path.posix.join(pattern, "**")) : [pattern];
  }
  const base = baseOfGlob(pattern);
  const rest = base === "." ? pattern.replace(/^\.\//, "") : path.posix.relative(base, pattern);
  const wanted = new RegExp(`^${expressionOf(rest)}$`, "u");
  const entries = (await readdir(base, { recursive: true, withFileTypes: true }).catch(ignoreMissing)) ?? [];
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(base, path.join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .filter((name) => wanted.test(name))
    .map((name) => path.posix.join(base, name))
    .sort((a, b) => (a < b ? -1 : 1));
}

function expressionOf(pattern: string): string {
  const token = /\*\*\/|\*\*|\*|\?|\[(!?)([^\]]+)\]|\{([^{}]*)\}|[\s\S]/gu;
  return [...pattern.matchAll(token)]
    .map(({ 0: text, 1: negated, 2: set, 3: choices, index }) => {
      const noDot = index === 0 || pattern[index - 1] === "/" ? "(?!\\.)" : "";
      if (text === "**/") return "(?:(?!\\.)[^/]+/)*";
      if (text === "**") return "(?:(?!\\.)[^/]+/)*(?!\\.)[^/]+";
      if (text === "*") return `${noDot}[^/]*`;
      if (text === "?") return `${noDot}[^/]`;
      if (set !== undefined) return `[${negated ? "^/" : ""}${set.replace(/[\\^[]/g, "\\$&")}]`;
      if (choices !== undefined) return `(?:${choices.split(",").map(expressionOf).join("|")})`;
      return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    })
    .join("");
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}
