import { z } from "zod";
import { encodeDocuments, loadTokenizer, readTexts, writeTokenFile } from "../index.ts";
import { command, filePath, jsonOption, UsageError } from "./options.ts";
import { printJson, printTable } from "./output.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe("folder with the tokenizer"),
    data: filePath().describe("text: .txt, .jsonl, also gzipped"),
    out: filePath().describe("token file to write, NAME.ds"),
    ...jsonOption,
  }),
  run: async ({ model, data, out, json }) => {
    if (!out.endsWith(".ds"))
      throw new UsageError(`tokenize: --out is ${out}, a name that ends in .ds was needed`);
    const tokenizer = await loadTokenizer(model);
    const info = await writeTokenFile(out, encodeDocuments(tokenizer, readTexts(data)), { tokenizer });
    if (json) printJson({ file: out, ...info });
    else {
      printTable([
        ["file", out],
        ["documents", info.documents],
        ["tokens", info.tokens],
        ["bytes a token", info.tokenBytes],
      ]);
    }
  },
});
