import { refuseUnknown } from "../../core/options.ts";
import { isObject } from "../../io/json.ts";
import { readByteLines } from "../../io/lines.ts";
import type { Reader } from "../step.ts";
import { type Input, inputFiles, shortName } from "./input_files.ts";
import { type RowKeys, rowDocument } from "./rows.ts";

const kStep = "read.jsonl";

/**
 * Reads documents from files of one JSON object a line, plain, `.gz` or `.zst`. A line that is no JSON object, or not UTF-8,
 * is dropped as `bad_line`, one without a text as `no_text`: both are counted, and can be looked at among the rejected. A
 * damaged or cut-off file is an error. Holds one line at a time.
 */
export function jsonl(files: Input, options: RowKeys = {}): Reader {
  refuseUnknown(kStep, options, ["textKey", "idKey"]);
  return {
    description: { step: kStep, options: { files, ...options } },
    files: () => inputFiles(kStep, files),
    async *read(file, context) {
      const name = shortName(files, file);
      const decoder = new TextDecoder("utf-8", { fatal: true });
      let line = -1;
      for await (const bytes of readByteLines(file)) {
        line++;
        if (bytes.length === 0) continue;
        const row = objectOf(bytes, decoder);
        if (row === "empty") continue;
        const id = `${name}/${line}`;
        const found = row && rowDocument(row, options, id);
        if (found) yield found;
        else {
          const text = Buffer.from(bytes).toString();
          await context.drop(kStep, row ? "no_text" : "bad_line", { id, text, metadata: {} });
        }
      }
    },
  };
}

function objectOf(
  bytes: Uint8Array,
  decoder: InstanceType<typeof TextDecoder>,
): Record<string, unknown> | "empty" | undefined {
  try {
    const text = decoder.decode(bytes);
    if (text.trim() === "") return "empty";
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
