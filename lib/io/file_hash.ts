import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { withPath } from "./system_error.ts";

/** SHA-256 of the bytes of files, one after the other, in hex. Holds a chunk at a time. */
export async function sha256OfFiles(files: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const file of files) {
    try {
      for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk);
    } catch (error) {
      throw withPath(error, file);
    }
  }
  return hash.digest("hex");
}
