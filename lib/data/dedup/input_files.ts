import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { ConfigError } from "../../core/errors.ts";

/**
 * The .jsonl and .jsonl.gz files that are meant: those named, and those in folders that are named, by name.
 * @throws ConfigError if there are none, or one isn't there or has another ending.
 */
export function inputFiles(where: string, input: string | readonly string[]): string[] {
  const files = [input].flat().flatMap((name) => {
    const found = statSync(name, { throwIfNoEntry: false });
    if (found === undefined)
      throw new ConfigError(`${where}: there is no ${name}, a file or folder was needed`, "input");
    if (!found.isDirectory()) return [name];
    const inside = readdirSync(name).filter((file) => /\.jsonl(\.gz)?$/.test(file));
    return inside.sort().map((file) => path.join(name, file));
  });
  for (const file of files) {
    if (!/\.jsonl(\.gz)?$/.test(file))
      throw new ConfigError(
        `${where}: ${file} ends in neither .jsonl nor .jsonl.gz, which are read`,
        "input",
      );
  }
  if (files.length === 0)
    throw new ConfigError(
      `${where}: input ${[input].flat().join(", ")} has no .jsonl or .jsonl.gz file, one at least was needed`,
      "input",
    );
  return files;
}
