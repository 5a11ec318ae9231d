import { writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
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
import { readJson } from "../support/oracle.ts";
import { sharedPath } from "../support/shared_data.ts";
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

test("long completions lose their end and are counted; what is dropped is listed by line", async () => {
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
  expect(truncated).toBe(1);
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
  expect(truncated).toBe(0);
  expect(dropped).toEqual([
    { line: 3, reason: "the prompt ends with a turn of the assistant" },
    { line: 4, reason: "the prompt has no tokens" },
    { line: 5, reason: "the prompt alone has 39 tokens, of 20 at most" },
  ]);
});

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

const words = fc
  .array(fc.constantFrom(" ", "\n", "the", "a", "12", "=", "é", ".", "😀"), { minLength: 1, maxLength: 6 })
  .map((w) => w.join(""));

test("a pair's ids spell prompt and completions, with one eos, at the end", async () => {
  const tok = await loadTokenizer(
    tokenizerFolder("llama2_style_bpe_1024", {
      "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>", chat_template: without },
    }),
  );
  const spelled = (ids: readonly number[]) => tok.decode(ids, { skipSpecialTokens: true });
  let dropped = 0;
  await fc.assert(
    fc.asyncProperty(words, words, words, async (prompt, chosen, rejected) => {
      const read = await readPairs([{ prompt, chosen, rejected }], { tokenizer: tok, maxLength: 1000 });
      const [got] = read.pairs;
      if (!got) {
        if (chosen !== rejected) dropped++;
        return;
      }
      expect(got.prompt).toEqual(tok.encode(prompt));
      for (const [ids, text] of [
        [got.chosen, chosen],
        [got.rejected, rejected],
      ] as const) {
        expect(spelled([...got.prompt, ...ids])).toBe(spelled(tok.encode(prompt + text)));
        expect(ids.indexOf(tok.eosTokenId!)).toBe(ids.length - 1);
        expect(ids).not.toContain(tok.bosTokenId);
      }
      const { prompts } = await readPrompts([{ prompt }], { tokenizer: tok, maxLength: 1000 });
      expect(prompts[0]!.ids).toEqual(got.prompt);
    }),
    { numRuns: 200 },
  );
  expect(dropped).toBeLessThan(10);
});

test("a chat's ids spell what the template writes, the prompt as it is given for generation", async () => {
  const tok = await chatTokenizer();
  await fc.assert(
    fc.asyncProperty(words, words, async (prompt, completion) => {
      const turns = { prompt: [user(prompt)], completion: [assistant(completion)] };
      const { labelled } = await readLabelled([{ ...turns, label: true }], {
        tokenizer: tok,
        maxLength: 1000,
      });
      const got = labelled[0]!;
      expect(got.prompt).toEqual(tok.applyChatTemplate(turns.prompt, { addGenerationPrompt: true }));
      expect(shown(tok, [...got.prompt, ...got.completion])).toBe(
        tok.applyChatTemplate([...turns.prompt, ...turns.completion], { tokenize: false }),
      );
    }),
    { numRuns: 100 },
  );
});

const fixture = sharedPath("data/fixtures/trl_stories260K.json");
const pretrained = sharedPath("data/models/stories260K");

describe.skipIf(!fixture || !pretrained)("TRL's token ids on stories260K", () => {
  interface Ids {
    ids: number[];
    prefix_ok: boolean;
  }
  interface Fixture {
    pairs: { prompt: string; chosen: string; rejected: string }[];
    kto_data: { prompt: string; completion: string; label: boolean }[];
    logps: { prompt_ids: number[]; chosen: Ids; rejected: Ids }[];
  }
  /** Without eos, which the fixture's log-probabilities leave out. */
  const whole = (prompt: number[], completion: number[]) => [...prompt, ...completion.slice(0, -1)];

  test("of pairs, with and without their prompt by itself, and unpaired", async () => {
    const { pairs: rows, logps } = readJson<Fixture>(fixture!);
    const tokenizer = await loadTokenizer(pretrained!);
    const options = { tokenizer, maxLength: 512 };
    const { pairs, truncated, dropped } = await readPairs(rows, options);
    expect({ truncated, dropped }).toEqual({ truncated: 0, dropped: [] });
    const implicit = rows.map(({ prompt, chosen, rejected }) => ({
      chosen: prompt + chosen,
      rejected: prompt + rejected,
    }));
    const joined = ({ prompt, chosen, rejected }: Pair) => [
      [...prompt, ...chosen],
      [...prompt, ...rejected],
    ];
    const implied = (await readPairs(implicit, options)).pairs;
    expect(implied.map(joined)).toEqual(pairs.map(joined));
    // One pair's completions begin alike.
    expect(implied.filter(({ prompt }, i) => prompt.length === pairs[i]!.prompt.length).length).toBe(7);
    const { labelled } = await readLabelled(rows, options);
    expect(pairs.length).toBe(logps.length);
    for (const [i, { prompt_ids, chosen, rejected }] of logps.entries()) {
      const got = pairs[i]!;
      expect(got.prompt).toEqual(prompt_ids);
      expect(whole(got.prompt, got.chosen)).toEqual(chosen.ids);
      expect(whole(got.prompt, got.rejected)).toEqual(rejected.ids);
      expect([got.chosen.at(-1), got.rejected.at(-1)]).toEqual([tokenizer.eosTokenId, tokenizer.eosTokenId]);
      expect(labelled[i]).toEqual({ prompt: got.prompt, completion: got.chosen, label: true });
      expect(labelled[i + pairs.length]).toEqual({
        prompt: got.prompt,
        completion: got.rejected,
        label: false,
      });
    }
  });

  test("of labelled rows", async () => {
    const { pairs: rows, kto_data, logps } = readJson<Fixture>(fixture!);
    const tokenizer = await loadTokenizer(pretrained!);
    const { labelled } = await readLabelled(kto_data, { tokenizer, maxLength: 512 });
    expect(labelled.length).toBe(kto_data.length);
    for (const [i, { prompt, completion, label }] of kto_data.entries()) {
      const of = rows.findIndex(
        (row) => row.prompt === prompt && [row.chosen, row.rejected].includes(completion),
      );
      const { chosen, rejected } = logps[of]!;
      const got = labelled[i]!;
      expect(got.label).toBe(label);
      expect(whole(got.prompt, got.completion)).toEqual((label ? chosen : rejected).ids);
    }
  });
});
