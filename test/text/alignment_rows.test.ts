import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import {
  type AlignmentRow,
  type Labelled,
  type Pair,
  readLabelled,
  readPairs,
  readPrompts,
} from "../../lib/text/alignment_rows.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { chatTemplate, chatTokenizer, tokenizerFolder } from "../support/golden_tokenizer.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyParquet, tinyRows } from "../support/tiny_parquet.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

/** Ids as texts, special tokens written out. */
const shown = (tok: Tokenizer, ids: readonly number[]): string =>
  tok.decode(ids, { skipSpecialTokens: false });
const shownPair = (tok: Tokenizer, { prompt, chosen, rejected }: Pair) =>
  [prompt, chosen, rejected].map((ids) => shown(tok, ids));
const shownLabelled = (tok: Tokenizer, { prompt, completion, label }: Labelled) => [
  shown(tok, prompt),
  shown(tok, completion),
  label,
];

interface Settings {
  maxLength?: number;
  template?: string;
}

/** What readPairs makes of one row: the texts of its ids, or why it is dropped. */
async function pair(row: AlignmentRow, { maxLength = 100, template }: Settings = {}) {
  const tokenizer = await chatTokenizer(template);
  const { pairs, dropped } = await readPairs([row], { tokenizer, maxLength });
  return pairs[0] ? shownPair(tokenizer, pairs[0]) : dropped[0]!.reason;
}

const chat = "<|begin_of_text|>user:\nRain?<|eot_id|>\nassistant:\n";

test("a preference with its prompt, as text and as messages", async () => {
  expect(await pair({ prompt: "Rain?", chosen: " No.", rejected: " Yes." })).toEqual([
    "Rain?",
    " No.<|eot_id|>",
    " Yes.<|eot_id|>",
  ]);
  const row = { prompt: [user("Rain?")], chosen: [assistant("No.")], rejected: [assistant("Yes.")] };
  const want = [chat, "No.<|eot_id|>\n", "Yes.<|eot_id|>\n"];
  expect(await pair(row)).toEqual(want);
  const tokenizer = await chatTokenizer();
  const { pairs } = await readPairs([row], { tokenizer, maxLength: 100 });
  expect(pairs[0]!.prompt).toEqual(tokenizer.applyChatTemplate(row.prompt, { addGenerationPrompt: true }));
});

test("without prompt, it is what chosen and rejected begin with", async () => {
  const explicit = await pair({ prompt: "Rain?", chosen: " No.", rejected: " Yes." });
  expect(await pair({ chosen: "Rain? No.", rejected: "Rain? Yes." })).toEqual(explicit);
  expect(await pair({ prompt: null, chosen: "Rain? No.", rejected: "Rain? Yes." })).toEqual(explicit);

  const before = [user("Rain?"), assistant("Where?"), user("Here.")];
  const [chosen, rejected] = [[assistant("No.")], [assistant("Yes.")]];
  const chats = await pair({ prompt: before, chosen, rejected });
  expect(chats).toHaveLength(3);
  const full = { chosen: [...before, ...chosen], rejected: [...before, ...rejected] };
  expect(await pair(full)).toEqual(chats);
  expect(await pair({ prompt: "Here.", ...full })).toEqual(chats);
});

test("the common beginning of texts as TRL finds it", async () => {
  const parts = async (chosen: string, rejected: string) =>
    ((await pair({ chosen, rejected })) as string[]).map((text) => text.replace("<|eot_id|>", ""));
  expect(await parts("It is blue", "It is green")).toEqual(["It is", " blue", " green"]);
  expect(await parts("It is blue", "It is black")).toEqual(["It is bl", "ue", "ack"]);
  expect(await parts("so  a", "so  b")).toEqual(["so ", " a", " b"]);
  expect(await parts("abc", "abcd")).toEqual(["ab", "c", "cd"]);
  expect(await parts("why 😀", "why 😁")).toEqual(["why", " 😀", " 😁"]);
  expect(await parts("a😀", "a😁")).toEqual(["a", "😀", "😁"]);
});

test("where one chat goes on after the other's end, its last turn is the completion", async () => {
  const one = [user("Rain?"), assistant("No.")];
  const got = await pair({ chosen: [...one, user("Sure?"), assistant("Yes.")], rejected: one });
  expect(got).toEqual([
    chat,
    "No.<|eot_id|>\nuser:\nSure?<|eot_id|>\nassistant:\nYes.<|eot_id|>\n",
    "No.<|eot_id|>\n",
  ]);
});

test("tools stand in the prompt, as a list or as JSON text", async () => {
  const template = `{{ tools[0].name if tools else "no tools" }}: ${chatTemplate}`;
  const row = { prompt: [user("Rain?")], chosen: [assistant("No.")], rejected: [assistant("Yes.")] };
  const tools = [{ name: "clock" }];
  const [prompt] = await pair({ ...row, tools }, { template });
  expect(prompt).toBe(`clock: ${chat}`);
  expect((await pair({ ...row, tools: JSON.stringify(tools) }, { template }))[0]).toBe(prompt);
  expect((await pair({ ...row, tools: null }, { template }))[0]).toBe(`no tools: ${chat}`);
});

test("margins are kept where rows have them", async () => {
  const tokenizer = await chatTokenizer();
  const row = { prompt: "Rain?", chosen: " No.", rejected: " Yes." };
  const { pairs } = await readPairs(
    [
      { ...row, margin: 0.5 },
      { ...row, margin: null },
    ],
    {
      tokenizer,
      maxLength: 9,
    },
  );
  expect(pairs.map((one) => one.margin)).toEqual([0.5, undefined]);
  expect("margin" in pairs[1]!).toBe(false);
});

const without = "{% for m in messages %}{{ m.content }}{% endfor %}";
const lastOnly = "{% for m in messages %}{{ m.content if loop.last else '(cut)' }}{% endfor %}";
const same = "chosen and rejected are the same, token for token";
const apart = "tokens can't be told from the prompt's";
const numbers = "one two three four five six seven";

test.each<[string, AlignmentRow, Settings, string]>([
  [
    "a prompt that leaves no room",
    { prompt: numbers, chosen: " a", rejected: " b" },
    { maxLength: 13 },
    "the prompt alone has 13 tokens, of 13 at most",
  ],
  [
    "no prompt, where there is no bos",
    { prompt: "", chosen: "a", rejected: "b" },
    {},
    "the prompt has no tokens",
  ],
  ["the same twice", { prompt: "Rain?", chosen: " No.", rejected: " No." }, {}, same],
  [
    "the same as far as there is room",
    { prompt: numbers, chosen: " no, no", rejected: " no, no, no" },
    { maxLength: 15 },
    `${same} within the first 15 tokens`,
  ],
  [
    "chats that differ from the first message on",
    { chosen: [user("A"), assistant("B")], rejected: [user("C"), assistant("B")] },
    {},
    "chosen and rejected have no message in common in front, which is the prompt",
  ],
  [
    "a template that writes the prompt otherwise before a completion",
    { prompt: [user("Rain?")], chosen: [assistant("No.")], rejected: [assistant("Yes.")] },
    { template: lastOnly },
    `chosen's ${apart}`,
  ],
  [
    "a template that writes nothing for a completion",
    { prompt: [user("Rain?")], chosen: [assistant("No.")], rejected: [assistant("")] },
    { template: without },
    "rejected has no tokens",
  ],
])("%s is dropped", async (_, row, settings, reason) => {
  expect(await pair(row, settings)).toBe(reason);
});

test("an empty completion is its end alone", async () => {
  expect(await pair({ prompt: "Rain?", chosen: " No.", rejected: "" })).toEqual([
    "Rain?",
    " No.<|eot_id|>",
    "<|eot_id|>",
  ]);
  const tokenizer = await loadTokenizer(tokenizerFolder("llama3_style_bpe_1024"));
  const row = { prompt: "Rain?", completion: "", label: true };
  const { dropped } = await readLabelled([row], { tokenizer, maxLength: 9 });
  expect(dropped).toEqual([{ line: 1, reason: "the completion has no tokens" }]);
});

test("long completions lose their end; what is cut or dropped is listed by line", async () => {
  const tokenizer = await chatTokenizer();
  const rows = [
    { prompt: "Rain?", chosen: " No.", rejected: " Rain? Rain? Rain?" },
    { prompt: numbers, chosen: " a", rejected: " b" },
    { prompt: "Rain?", chosen: " No.", rejected: " Yes." },
  ];
  const file = path.join(tempDir(), "pairs.jsonl");
  writeFileSync(file, `\n${rows.map((row) => JSON.stringify(row)).join("\n")}`);
  const { pairs, truncated, dropped } = await readPairs(file, { tokenizer, maxLength: 10 });
  expect(pairs.map((one) => shownPair(tokenizer, one)[2])).toEqual([" Rain? Rain", " Yes.<|eot_id|>"]);
  const [{ prompt, rejected }] = pairs as [Pair];
  expect(prompt.length + rejected.length).toBe(10);
  expect(truncated).toEqual([2]);
  expect(dropped).toEqual([{ line: 3, reason: "the prompt alone has 13 tokens, of 10 at most" }]);
  await expect(readPairs(rows, { tokenizer, maxLength: 0 })).rejects.toThrow(ConfigError);
});

test("labelled rows; preference rows become two, all that was chosen first", async () => {
  const tokenizer = await chatTokenizer();
  const options = { tokenizer, maxLength: 100 };
  const read = async (rows: AlignmentRow[]) =>
    (await readLabelled(rows, options)).labelled.map((row) => shownLabelled(tokenizer, row));
  expect(
    await read([
      { prompt: "Rain?", completion: " No.", label: true },
      { prompt: [user("Rain?")], completion: [assistant("Yes.")], label: false },
    ]),
  ).toEqual([
    ["Rain?", " No.<|eot_id|>", true],
    [chat, "Yes.<|eot_id|>\n", false],
  ]);
  expect(
    await read([
      { prompt: "Rain?", chosen: " No.", rejected: " Yes." },
      { chosen: "Sun? Yes.", rejected: "Sun? No." },
    ]),
  ).toEqual([
    ["Rain?", " No.<|eot_id|>", true],
    ["Sun?", " Yes.<|eot_id|>", true],
    ["Rain?", " Yes.<|eot_id|>", false],
    ["Sun?", " No.<|eot_id|>", false],
  ]);
});

test("each cut completion of labelled rows has its line listed", async () => {
  const tokenizer = await chatTokenizer();
  const long = " Rain? Rain? Rain?";
  const rows = [
    { prompt: "Rain?", completion: " No.", label: true },
    { prompt: "Rain?", completion: long, label: false },
    { prompt: "Rain?", chosen: long, rejected: ` No.${long}` },
    { prompt: "Rain?", chosen: `${long} No.`, rejected: " No." },
  ];
  const read = await readLabelled(rows, { tokenizer, maxLength: 12 });
  expect(read.labelled.length).toBe(6);
  expect(read.truncated).toEqual([2, 3, 3, 4]);
  expect(read.dropped).toEqual([]);
});

test("prompts come with their rows", async () => {
  const tokenizer = await chatTokenizer();
  const rows = [
    { prompt: "Rain?", answer: 7 },
    { prompt: [user("Rain?")], solution: ["x"] },
    { prompt: [user("Rain?"), assistant("No")] },
    { prompt: "" },
    { prompt: `${numbers} ${numbers} ${numbers}` },
  ];
  const { prompts, truncated, dropped } = await readPrompts(rows, { tokenizer, maxLength: 20 });
  expect(prompts).toEqual([
    { ids: tokenizer.encode("Rain?"), row: rows[0] },
    { ids: tokenizer.applyChatTemplate([user("Rain?")], { addGenerationPrompt: true }), row: rows[1] },
  ]);
  expect(truncated).toEqual([]);
  expect(dropped).toEqual([
    { line: 3, reason: "the prompt ends with a turn of the assistant" },
    { line: 4, reason: "the prompt has no tokens" },
    { line: 5, reason: "the prompt alone has 39 tokens, of 20 at most" },
  ]);
});

test("the same rows as Parquet, as JSONL and from memory", async () => {
  const tokenizer = await chatTokenizer();
  const options = { tokenizer, maxLength: 100 };
  const dir = tempDir();
  const [parquet, jsonl] = [path.join(dir, "rows.parquet"), path.join(dir, "rows.jsonl")];
  writeFileSync(parquet, tinyParquet());
  writeFileSync(
    jsonl,
    tinyRows.map((row) => JSON.stringify(row, (_, v) => (typeof v === "bigint" ? null : v))).join("\n"),
  );
  const want = await readPairs(tinyRows, options);
  expect(want.pairs.length).toBe(3);
  expect(want.pairs.map(({ margin }) => margin)).toEqual([0.5, undefined, 2]);
  expect(await readPairs(parquet, options)).toEqual(want);
  expect(await readPairs(jsonl, options)).toEqual(want);
  expect(await readLabelled(parquet, options)).toEqual(await readLabelled(jsonl, options));
  const { prompts } = await readPrompts(parquet, options);
  expect(prompts.map(({ row }) => row)).toEqual(tinyRows);
});
