import { readFile } from "node:fs/promises";
import { withPath } from "./system_error.ts";

/** The text of a file, undefined where there is none. */
export async function readTextIfThere(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw withPath(error, file);
    return undefined;
  });
}
