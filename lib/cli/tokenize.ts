import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { encodeDocuments, loadTokenizer, readTexts, writeTokenFile } from "../index.ts";
import { command, filePath, jsonOption, kTextFiles, UsageError } from "./options.ts";
import { printJson, printTable } from "./output.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe("folder with the tokenizer"),
    data: filePath().describe(`text: ${kTextFiles}`),
    out: filePath().describe("token file to write, NAME.ds"),
    ...jsonOption,
  }),
  run: async ({ model, data, out, json }) => {
    if (!out.endsWith(".ds"))
      throw new UsageError(`tokenize: --out is ${out}, a name that ends in .ds was needed`);
    const tokenizer = await loadTokenizer(model);
    const info = await writeTokenFile(out, encodeDocuments(tokenizer, textsOf(data)), { tokenizer });
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

async function* textsOf(file: string): AsyncGenerator<string> {
  let documents = 0;
  for await (const text of readTexts(file)) {
    documents++;
    yield text;
  }
  if (documents === 0)
    throw new ConfigError(`tokenize: ${file} holds no document, at least one was needed`, "data");
}
