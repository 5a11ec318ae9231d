import { refuseUnknown } from "../../core/options.ts";
import type { Reader } from "../step.ts";
import { readSeparatedTexts } from "../text_files.ts";
import { type Input, inputFiles, shortName } from "./input_files.ts";

const kStep = "read.text";

/**
 * Reads documents from text files, plain, `.gz` or `.zst`: one a file, or several with lines of only `<|endoftext|>` between
 * them. Empty documents are left out, and a file that is not UTF-8 is an error. Holds one document at a time.
 */
export function text(files: Input, options: Readonly<Record<string, never>> = {}): Reader {
  refuseUnknown(kStep, options, []);
  return {
    description: { step: kStep, options: { files } },
    files: () => inputFiles(kStep, files),
    async *read(file) {
      const name = shortName(files, file);
      let i = 0;
      for await (const content of readSeparatedTexts(file))
        yield { id: `${name}/${i++}`, text: content, metadata: {} };
    },
  };
}
