import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { FormatError } from "../../lib/core/errors.ts";
import { type AlignmentRow, readLabelled, readPairs, readPrompts } from "../../lib/text/alignment_rows.ts";
import { chatTokenizer } from "../support/golden_tokenizer.ts";
import { tempDir } from "../support/temp_dir.ts";

const user = (content: string) => ({ role: "user", content });

const mixed = "mixes strings and lists of messages; either was needed for prompt and completions alike";
test.each<[string, unknown, typeof readPairs | typeof readLabelled | typeof readPrompts]>([
  ["no JSON object", 7, readPairs],
  ["has text; chosen and rejected, with or without prompt, were needed", { text: "x" }, readPairs],
  ["has prompt, chosen; chosen and rejected", { prompt: "x", chosen: "y" }, readPairs],
  ["chosen is 7, a string or a list of messages was needed", { chosen: 7, rejected: "y" }, readPairs],
  ["rejected is [], a string or a list of messages was needed", { chosen: "x", rejected: [] }, readPairs],
  [mixed, { chosen: "x", rejected: [user("y")] }, readPairs],
  [mixed, { chosen: [user("y")], rejected: "x" }, readPairs],
  [mixed, { prompt: "x", chosen: "y", rejected: [user("y")] }, readPairs],
  [mixed, { prompt: [user("x")], chosen: "y", rejected: "z" }, readPairs],
  [
    'chosen[0].role is "boss"',
    { chosen: [{ role: "boss", content: "x" }], rejected: [user("x")] },
    readPairs,
  ],
  ['margin is "1", a number was needed', { chosen: "x", rejected: "y", margin: "1" }, readPairs],
  ["margin is NaN, a number was needed", { chosen: "x", rejected: "y", margin: Number.NaN }, readPairs],
  ["margin is 1152921504606847000, a number", { chosen: "x", rejected: "y", margin: 2n ** 60n }, readPairs],
  ['tools is "{", a list was needed', { chosen: "x", rejected: "y", tools: "{" }, readPairs],
  ["no JSON object", [], readLabelled],
  [
    "has prompt; prompt, completion and label, or chosen and rejected were needed",
    { prompt: "x" },
    readLabelled,
  ],
  ["has completion, chosen, rejected; prompt", { completion: "x", chosen: "y", rejected: "z" }, readLabelled],
  ["label is undefined, true or false was needed", { prompt: "x", completion: "y" }, readLabelled],
  ["label is 1, true or false was needed", { prompt: "x", completion: "y", label: 1 }, readLabelled],
  ["prompt is undefined, a string or a list of messages", { completion: "y", label: true }, readLabelled],
  [mixed, { prompt: "x", completion: [user("y")], label: true }, readLabelled],
  ["no JSON object", null, readPrompts],
  ["prompt is undefined, a string or a list of messages", { chosen: "x", rejected: "y" }, readPrompts],
])("refused with its line: %s", async (message, row, read) => {
  const tokenizer = await chatTokenizer();
  const rows = [{ prompt: "x", chosen: "y", rejected: "z" }, row] as AlignmentRow[];
  const error = await read(rows, { tokenizer, maxLength: 9 }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FormatError);
  expect(error).toMatchObject({ line: 2 });
  expect((error as Error).message).toContain(`row 2: ${message}`);
});

test("messages that the template refuses are named with file and line", async () => {
  const tokenizer = await chatTokenizer("{{ raise_exception('roles must alternate') }}");
  const file = path.join(tempDir(), "prompts.jsonl");
  writeFileSync(file, JSON.stringify({ prompt: [user("x")] }));
  await expect(readPrompts(file, { tokenizer, maxLength: 9 })).rejects.toThrow(
    `${file}:1: applyChatTemplate: `,
  );
});
