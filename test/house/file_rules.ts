import { sourcesIn } from "./sources.ts";

const folders = ["lib", "native", "test", "bench", "scripts"];
const kMaxLines = 500;
const vague = /(^|_)(utils?|helpers?|managers?|common|misc)(_|$)/;

export const sizeFaults = (root: string): string[] =>
  sourcesIn(root, ...folders)
    .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > kMaxLines)
    .map(({ path, lines }) => `${path} has ${lines} lines, ${kMaxLines} are allowed`);

/** Names that say nothing, and names that aren't snake_case. */
export const nameFaults = (root: string): string[] =>
  sourcesIn(root, ...folders)
    .map(({ path }) => path)
    .filter((path) =>
      path.split("/").some((part) => {
        const stem = part.split(".")[0]!;
        return vague.test(stem) || !/^[a-z0-9_]+$/.test(stem);
      }),
    )
    .map((path) => `${path}: a name in snake_case that says what it holds was needed`);
