import { readdir } from "node:fs/promises";
import { ConfigError } from "../core/errors.ts";

/** Throws ConfigError if `dir` holds anything: what a command writes never mixes with what was there. */
export async function requireFreshFolder(
  where: string,
  dir: string,
  wayOut = "Take another folder",
): Promise<void> {
  const names = await namesIn(dir);
  if (names.length === 0) return;
  throw new ConfigError(
    `${where}: ${dir} holds ${names.length} files already (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}), an empty folder or none was needed. ${wayOut}`,
    "out",
  );
}

/** Names in a folder; none if there is no such folder. */
export async function namesIn(dir: string): Promise<string[]> {
  return readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return [];
  });
}
