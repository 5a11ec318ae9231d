import { z } from "zod";
import { inputFiles } from "../data/readers/input_files.ts";
import { readTexts, trainTokenizer } from "../index.ts";
import { command, filePath, jsonOption, kTextFiles } from "./options.ts";
import { printJson, printTable } from "./output.ts";

export default command({
  options: z.strictObject({
    data: z.array(filePath()).min(1).describe(`text, or patterns or folders of it: ${kTextFiles}`),
    vocabSize: z.int().min(1).describe("ids in all, up to 30000"),
    out: filePath().describe("folder for tokenizer.json and tokenizer_config.json"),
    ...jsonOption,
  }),
  run: async ({ data, vocabSize, out, json }) => {
    let documents = 0;
    let bytes = 0;
    async function* texts(): AsyncGenerator<string> {
      for (const file of await inputFiles("data tokenizer", data)) {
        for await (const text of readTexts(file)) {
          documents++;
          bytes += Buffer.byteLength(text);
          yield text;
        }
      }
    }
    await trainTokenizer(texts(), out, { vocabSize });
    const facts = { tokenizer: out, vocabSize, documents, bytes };
    if (json) printJson(facts);
    else printTable(Object.entries(facts));
  },
});
