import { refuseUnknown } from "../../core/options.ts";
import { readParquet } from "../../io/parquet.ts";
import type { Reader } from "../step.ts";
import { type Input, inputFiles, shortName } from "./input_files.ts";
import { type RowKeys, rowDocument } from "./rows.ts";

const kStep = "read.parquet";

/**
 * Reads documents from the rows of Parquet files (see readParquet). A row without a text is dropped as `no_text`. Holds one
 * row group at a time.
 */
export function parquet(files: Input, options: RowKeys = {}): Reader {
  refuseUnknown(kStep, options, ["textKey", "idKey"]);
  return {
    description: { step: kStep, options: { files, ...options } },
    files: () => inputFiles(kStep, files),
    async *read(file, context) {
      const name = shortName(files, file);
      let row = -1;
      for await (const fields of readParquet(file)) {
        const id = `${name}/${++row}`;
        const found = rowDocument(fields, options, id);
        if (found) yield found;
        else await context.drop(kStep, "no_text", { id, text: "", metadata: fields });
      }
    },
  };
}
