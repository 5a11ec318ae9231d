import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { exampleBatches, packExamples } from "../../lib/text/example_batches.ts";
import { readExamples } from "../../lib/text/examples.ts";
import type { Example, SftRow } from "../../lib/text/sft_row.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { chatTemplate, chatTokenizer, tokenizerFolder } from "../support/golden_tokenizer.ts";
import { tempDir } from "../support/temp_dir.ts";

/** `learned|` marks around what is learned, as text. */
function shown(tok: Tokenizer, { ids, learn }: Example): string {
  expect(learn.length).toBe(ids.length);
  const from = learn.indexOf(true);
  const to = learn.lastIndexOf(true) + 1;
  expect(learn.slice(from, to)).not.toContain(false);
  const text = (part: number[]) => tok.decode(part, { skipSpecialTokens: false });
  return `${text(ids.slice(0, from))}[${text(ids.slice(from, to))}]${text(ids.slice(to))}`;
}

const one = async (
  row: SftRow,
  options: { completionOnly?: boolean; assistantOnly?: boolean; template?: string } = {},
) => {
  const tokenizer = await chatTokenizer(options.template);
  const { examples, dropped } = await readExamples([row], { tokenizer, maxLength: 100, ...options });
  return examples[0] ? shown(tokenizer, examples[0]) : dropped[0]!.reason;
};

const user = { role: "user", content: "Rain?" };
const assistant = { role: "assistant", content: "No." };

test("what is learned of each kind of row", async () => {
  expect(await one({ text: "Rain? No." })).toBe("[Rain? No.<|eot_id|>]");
  expect(await one({ prompt: "Rain?", completion: " No." })).toBe("Rain?[ No.<|eot_id|>]");
  expect(await one({ prompt: "Rain?", completion: " No." }, { completionOnly: false })).toBe(
    "[Rain? No.<|eot_id|>]",
  );
  const chat = "<|begin_of_text|>user:\nRain?<|eot_id|>\nassistant:\n";
  expect(await one({ messages: [user, assistant] })).toBe(`[${chat}No.<|eot_id|>\n]`);
  expect(await one({ messages: [user, assistant] }, { assistantOnly: true })).toBe(
    `${chat}[No.<|eot_id|>]\n`,
  );
  expect(await one({ prompt: [user], completion: [assistant] })).toBe(`${chat}[No.<|eot_id|>\n]`);
  expect(await one({ prompt: [user], completion: [assistant] }, { assistantOnly: true })).toBe(
    `${chat}[No.<|eot_id|>]\n`,
  );
  const both = { assistantOnly: true, completionOnly: false };
  const earlier = { prompt: [assistant, user], completion: [user] };
  expect(await one(earlier, both)).toContain("[No.<|eot_id|>]");
});

test("tools reach the template; fields of no meaning here are passed over", async () => {
  const template = `{{ tools[0].name if tools else "no tools" }}: ${chatTemplate}`;
  expect(await one({ messages: [assistant], tools: [{ name: "clock" }], id: 7 }, { template })).toMatch(
    /^\[clock: /,
  );
  expect(await one({ messages: [assistant], tools: null }, { template })).toMatch(/^\[no tools: /);
});

test("a template that makes another prompt than the whole begins with", async () => {
  const template = "{% for m in messages %}{{ m.content if loop.last else '(cut)' }}{% endfor %}";
  expect(await one({ prompt: [user], completion: [assistant] }, { template })).toBe(
    "the completion's tokens can't be told from the prompt's",
  );
});

test("a tokenizer without eos adds none", async () => {
  const tokenizer = await loadTokenizer(tokenizerFolder("llama3_style_bpe_1024"));
  const { examples } = await readExamples([{ text: "Hello" }], { tokenizer, maxLength: 9 });
  expect(examples[0]!.ids).toEqual(tokenizer.encode("Hello"));
});

test("long rows are cut, rows without a target dropped, both listed by line", async () => {
  const tokenizer = await chatTokenizer();
  const prompt = "one two three four five six seven";
  const rows = [
    { text: "Rain? No." },
    { text: "" },
    { prompt, completion: " eight" },
    { text: "Rain? Rain? Rain? Rain? Rain? Rain?" },
  ];
  const { examples, truncated, dropped } = await readExamples(rows, { tokenizer, maxLength: 8 });
  expect(examples.map(({ ids }) => ids)).toEqual([
    [...tokenizer.encode("Rain? No."), tokenizer.eosTokenId],
    tokenizer.encode(rows[3]!.text!).slice(0, 8),
  ]);
  expect(truncated).toEqual([4]);
  expect(dropped).toEqual([
    { line: 2, reason: "nothing to learn" },
    { line: 3, reason: "nothing to learn in the first 8 tokens" },
  ]);
});

test.each<[unknown, string]>([
  [{ instruction: "x", output: "y" }, "has instruction, output; text, or messages, or prompt and completion"],
  [{ text: "x", messages: [user] }, "has text, messages; text, or messages"],
  [{ text: "x", prompt: "y" }, "has text, prompt; text, or messages"],
  [{ completion: "y" }, "has completion; text, or messages"],
  [{ prompt: "y" }, "has prompt; text, or messages"],
  [{}, "has nothing; text"],
  [7, "no JSON object"],
  [{ text: 7 }, "text is 7, a string was needed"],
  [
    { prompt: "x", completion: [assistant] },
    'completion is [{"role":"assistant","content":"No."}], a string',
  ],
  [{ prompt: [user], completion: "x" }, 'completion is "x", a list of messages was needed'],
  [{ messages: [] }, "messages is [], a list of messages was needed"],
  [{ messages: [user, "x"] }, 'messages[1] is "x", a message with a role was needed'],
  [
    { messages: [user, { role: "asistant", content: "No." }] },
    'messages[1].role is "asistant", one of system, user, assistant, tool was needed',
  ],
  [{ messages: [{ role: "user", content: 7 }] }, "messages[0].content is 7, a string was needed"],
  [{ messages: [{ role: "user", content: [{ type: "text", text: "x" }] }] }, "messages[0].content is [{"],
  [{ messages: [user, { role: "assistant" }] }, "messages[1].content is undefined, a string was needed"],
  [{ messages: [{ role: "tool", tool_calls: [{}] }] }, "messages[0].content is undefined, a string was"],
  [{ messages: [user], tools: "x" }, 'tools is "x", a list was needed'],
])("a row %j is refused with its line", async (row, message) => {
  const file = path.join(tempDir(), "rows.jsonl");
  writeFileSync(file, `{"text":"x"}\n\n${JSON.stringify(row)}\n`);
  const tokenizer = await chatTokenizer();
  const error = await readExamples(file, { tokenizer, maxLength: 9 }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FormatError);
  expect(error).toMatchObject({ file, line: 3 });
  expect((error as Error).message).toContain(`${file}:3: ${message}`);
  const inMemory = readExamples([{ text: "x" }, row as SftRow], { tokenizer, maxLength: 9 });
  await expect(inMemory).rejects.toThrow(`row 2: ${message}`);
});

test("a turn of the assistant may be tool calls alone", async () => {
  const calls = { role: "assistant", content: null, tool_calls: [{ function: { name: "f" } }] };
  const template = "{% for m in messages %}{{ m.role }}{{ m.tool_calls is defined }} {% endfor %}";
  const messages = [user, calls, { role: "tool", content: "7" }];
  expect(await one({ messages }, { template })).toContain("userfalse assistanttrue toolfalse");
});

test("messages that the template refuses are named with their line", async () => {
  const template = "{{ raise_exception('roles must alternate') }}";
  await expect(one({ messages: [user] }, { template })).rejects.toThrow(
    /^row 1: applyChatTemplate: .*roles must alternate/,
  );
});

test("assistantOnly needs conversations", async () => {
  await expect(one({ text: "x" }, { assistantOnly: true })).rejects.toThrow(
    "row 1: has no messages, which assistantOnly (--assistant-only) learns from",
  );
  await expect(one({ messages: [user] }, { assistantOnly: true })).rejects.toThrow(
    "row 1: has no turn of the assistant, which assistantOnly (--assistant-only) learns from",
  );
  expect(await one({ messages: [user] })).toContain("Rain?");
});

/** Examples of those lengths; the id tells which. */
const lengths = (all: number[]): Example[] =>
  all.map((n, i) => ({ ids: new Array<number>(n).fill(i), learn: new Array<boolean>(n).fill(true) }));

test("batches hold whole examples, every one once an epoch, the same whenever asked for", () => {
  const examples = lengths([5, 2, 3, 7, 2, 2, 4, 6, 3, 2, 5]);
  const source = exampleBatches(examples, { batchTokens: 9, seed: 3 });
  const orders: string[] = [];
  let i = 0;
  for (let epoch = 0; epoch < 4; epoch++) {
    const seen: number[] = [];
    while (seen.length < examples.length) {
      const { tokens, offsets } = source.batch(i) as Awaited<ReturnType<typeof source.batch>>;
      expect(exampleBatches(examples, { batchTokens: 9, seed: 3 }).batch(i)).toEqual(source.batch(i));
      expect(tokens.length).toBeLessThanOrEqual(9);
      for (let d = 0; d + 1 < offsets.length; d++) {
        const id = tokens[offsets[d]!]!;
        expect(Array.from(tokens.subarray(offsets[d], offsets[d + 1]))).toEqual(examples[id]!.ids);
        seen.push(id);
      }
      i++;
    }
    expect(seen.toSorted((a, b) => a - b)).toEqual(examples.map((_, id) => id));
    orders.push(String(seen));
  }
  expect(new Set(orders).size).toBe(4);
  const late = source.batch(i - 1);
  source.batch(0);
  expect(source.batch(i - 1)).toEqual(late);
});

test("in order, for validation; sizes that can't be are refused", () => {
  const examples = lengths([5, 2, 3, 7]);
  expect(packExamples(examples, 8).map(({ offsets }) => Array.from(offsets))).toEqual([
    [0, 5, 7],
    [0, 3],
    [0, 7],
  ]);
  expect(() => packExamples(examples, 6)).toThrow(ConfigError);
  expect(() => exampleBatches([], { batchTokens: 6 })).toThrow("there is no example");
});
