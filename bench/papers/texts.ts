// Real texts for the scripts in bench/papers: from packages that a clone has, or that Debian has.
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { Parser } from "htmlparser2";
import { ConfigError } from "../../lib/core/errors.ts";

export { declarations, glosses } from "../../lib/cli/quickstart/texts.ts";

const kHandbook = "/usr/share/doc/debian-handbook/html";

/**
 * Paragraphs of Debian's handbook, the same book in many languages ("en-US", "de-DE", "fr-FR", …): one document a
 * section's page, code listings left out. Throws ConfigError where the Debian package debian-handbook is missing.
 */
export async function handbook(language: string): Promise<string[]> {
  const folder = path.join(kHandbook, language);
  const files = await readdir(folder).catch(() => {
    throw new ConfigError(
      `handbook: ${folder} is missing, where the Debian package debian-handbook puts it. Run: apt-get install debian-handbook`,
      "texts",
    );
  });
  const pages = files.filter((file) => /^sect\..*\.html$/.test(file)).sort();
  const texts = await Promise.all(
    pages.map(async (page) => paragraphs(await readFile(path.join(folder, page), "utf8"))),
  );
  return texts.filter((text) => text.length > 200);
}

/** What stands in the blocks that the book marks as paragraphs. */
function paragraphs(html: string): string {
  const found: string[] = [];
  const within: string[] = [];
  const parser = new Parser({
    onopentag: (name, { class: kind }) => {
      const role = name === "pre" ? "listing" : name === "p" || kind === "para" ? "paragraph" : "other";
      if (role === "paragraph") found.push("");
      within.push(role);
    },
    ontext: (text) => {
      if (within.includes("paragraph") && !within.includes("listing")) found.push(`${found.pop()}${text}`);
    },
    onclosetag: () => void within.pop(),
  });
  parser.end(html);
  return found
    .map((text) => text.replace(/\s+/g, " ").trim())
    .filter((text) => text.length > 40)
    .join("\n");
}
