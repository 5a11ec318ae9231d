import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { chatTokenizer, goldenTokenizers, tokenizerFolder } from "../support/golden_tokenizer.ts";
import { sharedPath } from "../support/shared_data.ts";
import { tempDir } from "../support/temp_dir.ts";

interface Case {
  text: string;
  ids: number[];
  decoded: string;
  decodedRaw: string;
}

describe.each(["llama2_style_bpe_1024", "llama3_style_bpe_1024"])("%s", (name) => {
  const cases = JSON.parse(
    readFileSync(path.join(goldenTokenizers, name, "expected.json"), "utf8"),
  ) as Case[];

  test("ids and texts as Python's tokenizers gives them", async () => {
    const tok = await loadTokenizer(path.join(goldenTokenizers, name));
    for (const { text, ids, decoded, decodedRaw } of cases) {
      expect(tok.encode(text)).toEqual(ids);
      expect(tok.decode(ids)).toBe(decoded);
      expect(tok.decode(Int32Array.from(ids), { skipSpecialTokens: false })).toBe(decodedRaw);
    }
    expect(await tok.encodeBatch(cases.map((c) => c.text))).toEqual(cases.map((c) => c.ids));
  });

  test("ids that come one by one give the same text, no character in halves", async () => {
    const tok = await loadTokenizer(path.join(goldenTokenizers, name));
    for (const { text, ids, decoded } of cases) {
      const stream = tok.stream();
      const pieces = ids.map((id) => stream.push(id));
      if (!text.includes("\ufffd")) expect(pieces.join("")).not.toContain("\ufffd");
      expect(pieces.join("") + stream.end()).toBe(decoded);
    }
    const isByte = (id: number) => tok.idToToken(id)!.startsWith("<0x");
    const anyIds = fc.array(fc.nat({ max: 1023 }).filter((id) => !isByte(id)));
    fc.assert(
      fc.property(anyIds, fc.boolean(), (ids, skipSpecialTokens) => {
        const stream = tok.stream({ skipSpecialTokens });
        const text = ids.map((id) => stream.push(id)).join("") + stream.end();
        expect(text).toBe(tok.decode(ids, { skipSpecialTokens }));
      }),
    );
  });
});

const reference = sharedPath("data/fixtures/tokenizers");

test.skipIf(!reference)("every kind of tokenizer.json: WordPiece and Unigram too", async () => {
  const { strings, cases } = JSON.parse(readFileSync(path.join(reference!, "expected.json"), "utf8"));
  for (const name of ["bytelevel_bpe_1024", "wordpiece_1024", "unigram_1024"]) {
    const dir = tempDir();
    writeFileSync(path.join(dir, "tokenizer.json"), readFileSync(path.join(reference!, `${name}.json`)));
    const tok = await loadTokenizer(dir);
    for (const [i, { ids, decoded, decoded_raw }] of cases[name].entries()) {
      expect(tok.encode(strings[i])).toEqual(ids);
      expect([tok.decode(ids), tok.decode(ids, { skipSpecialTokens: false })]).toEqual([
        decoded,
        decoded_raw,
      ]);
    }
  }
});

describe.each(["llama", "mixtral"])("reference model %s", (model) => {
  const dir = sharedPath(`oracles/public/${model}`);

  test.skipIf(!dir)("special tokens, texts, chats", async () => {
    const expected = JSON.parse(readFileSync(path.join(dir!, "tokenizer_expected.json"), "utf8"));
    const tok = await loadTokenizer(path.join(dir!, "model"));
    expect([tok.vocabSize, tok.bosTokenId, tok.eosTokenId, tok.padTokenId]).toEqual([
      expected.n_vocab,
      expected.bos,
      expected.eos,
      expected.pad,
    ]);
    for (const { text, ids, ids_with_special, decode_skip_special, decode_keep_special } of expected.encode) {
      expect(tok.encode(text, { addSpecialTokens: false })).toEqual(ids);
      expect(tok.encode(text)).toEqual(ids_with_special);
      expect(tok.decode(ids)).toBe(decode_skip_special);
      expect(tok.decode(ids, { skipSpecialTokens: false })).toBe(decode_keep_special);
    }
    for (const { messages, add_generation_prompt: addGenerationPrompt, text, ids } of expected.chat) {
      expect(tok.applyChatTemplate(messages, { addGenerationPrompt, tokenize: false })).toBe(text);
      expect(tok.applyChatTemplate(messages, { addGenerationPrompt })).toEqual(ids);
    }
  });
});

describe("special tokens", () => {
  const llama3 = "llama3_style_bpe_1024";

  test("as text or record; tokenizer_config.json wins over special_tokens_map.json", async () => {
    const dir = tokenizerFolder(llama3, {
      "tokenizer_config.json": { bos_token: { content: "<|begin_of_text|>" }, pad_token: null },
      "special_tokens_map.json": { bos_token: "<|eot_id|>", eos_token: "<|eot_id|>" },
    });
    const tok = await loadTokenizer(dir);
    expect([tok.bosToken, tok.bosTokenId, tok.eosTokenId]).toEqual(["<|begin_of_text|>", 0, 1]);
    expect([tok.padToken, tok.padTokenId, tok.isSpecial(1), tok.isSpecial(2)]).toEqual([
      undefined,
      undefined,
      true,
      false,
    ]);
  });

  test("else by id from generation_config.json, then config.json", async () => {
    const dir = tokenizerFolder(llama3, {
      "generation_config.json": { eos_token_id: [1, 7] },
      "config.json": { bos_token_id: 0, eos_token_id: 5, pad_token_id: -1 },
    });
    const tok = await loadTokenizer(dir);
    expect([tok.bosToken, tok.eosToken, tok.padTokenId]).toEqual([
      "<|begin_of_text|>",
      "<|eot_id|>",
      undefined,
    ]);
    expect(tok.eosTokenIds).toEqual([1, 7]);
  });

  test("one that the tokenizer does not know is refused", async () => {
    const dir = tokenizerFolder(llama3, { "tokenizer_config.json": { eos_token: "</s>" } });
    await expect(loadTokenizer(dir)).rejects.toThrow(
      'has no token "</s>", which the folder names as eos_token',
    );
  });

  test("ids beyond the vocabulary have no text", async () => {
    const tok = await loadTokenizer(path.join(goldenTokenizers, llama3));
    expect([tok.decode([4000, -1]), tok.idToToken(4000), tok.tokenToId("no such")]).toEqual([
      "",
      undefined,
      undefined,
    ]);
  });
});

describe("chat templates", () => {
  const messages = [{ role: "user", content: "Hi " }];
  const options = { tokenize: false } as const;

  test("the text, and its ids with one bos", async () => {
    const tok = await chatTokenizer();
    const text = tok.applyChatTemplate(messages, { addGenerationPrompt: true, tokenize: false });
    expect(text).toBe("<|begin_of_text|>user:\nHi<|eot_id|>\nassistant:\n");
    const ids = tok.applyChatTemplate(messages, { addGenerationPrompt: true });
    expect(ids.filter((id) => id === tok.bosTokenId)).toEqual([0]);
    expect(tok.decode(ids, { skipSpecialTokens: false })).toBe(text);
  });

  test("an unknown option is refused with the one that was meant", async () => {
    const tok = await chatTokenizer();
    const slip = { add_generation_prompt: true } as object;
    expect(() => tok.applyChatTemplate(messages, slip)).toThrow(
      'applyChatTemplate: unknown option "add_generation_prompt", is it addGenerationPrompt?',
    );
  });

  test("named templates: tool_use where there are tools; a file wins over the config's default", async () => {
    const named = [
      { name: "default", template: "plain {{ tools is none }}" },
      { name: "tool_use", template: "{{ tools | tojson }} {{ documents is none }}" },
    ];
    const config = { "tokenizer_config.json": { chat_template: named } };
    const tok = await loadTokenizer(tokenizerFolder("llama3_style_bpe_1024", config));
    expect(tok.applyChatTemplate(messages, options)).toBe("plain true");
    expect(tok.applyChatTemplate(messages, { ...options, tools: [{ name: "f" }] })).toBe(
      '[{"name": "f"}] true',
    );
    const files = { ...config, "chat_template.jinja": "{{ strftime_now('%Y') }}" };
    const own = await loadTokenizer(tokenizerFolder("llama3_style_bpe_1024", files));
    expect(own.applyChatTemplate(messages, options)).toBe(String(new Date().getFullYear()));
  });

  test("a missing template, a broken one, one that refuses the messages", async () => {
    const without = await loadTokenizer(path.join(goldenTokenizers, "llama3_style_bpe_1024"));
    expect(() => without.applyChatTemplate(messages)).toThrow(ConfigError);
    expect(() => without.applyChatTemplate(messages)).toThrow("has no chat template. Put one into");
    const broken = await chatTokenizer("{% if %}");
    expect(() => broken.applyChatTemplate(messages)).toThrow("the chat template does not parse (");
    const refusing = await chatTokenizer("{{ raise_exception('roles must alternate') }}");
    expect(() => refusing.applyChatTemplate(messages)).toThrow(
      'says "roles must alternate" (messages: user).',
    );
  });
});

test("folders that are no tokenizer", async () => {
  const dir = tempDir();
  await expect(loadTokenizer(dir)).rejects.toThrow(`loadTokenizer: ${dir} has no tokenizer.json.`);
  writeFileSync(path.join(dir, "tokenizer.model"), "");
  await expect(loadTokenizer(dir)).rejects.toThrow("tokenizer.model (SentencePiece) is not read");
  writeFileSync(path.join(dir, "tokenizer.json"), "{}");
  await expect(loadTokenizer(dir)).rejects.toThrow(FormatError);
});

test("a tokenizer with truncation and padding in its file still gives the whole text", async () => {
  const dir = tokenizerFolder("llama3_style_bpe_1024");
  const json = JSON.parse(readFileSync(path.join(dir, "tokenizer.json"), "utf8"));
  json.truncation = { direction: "Right", max_length: 4, strategy: "LongestFirst", stride: 0 };
  json.padding = { strategy: { Fixed: 8 }, direction: "Right", pad_id: 0, pad_type_id: 0, pad_token: "x" };
  writeFileSync(path.join(dir, "tokenizer.json"), JSON.stringify(json));
  const tok = await loadTokenizer(dir);
  const text = "It is a truth universally acknowledged";
  expect(tok.decode(tok.encode(text))).toBe(text);
  expect((await tok.encodeBatch([text]))[0]).toEqual(tok.encode(text));
});

test("text in other encodings' leftovers, and long text", async () => {
  const tok = await chatTokenizer();
  expect(tok.decode(tok.encode("a\ud800b"))).toBe("a\ufffdb");
  const long = "Ein Satz. ".repeat(30_000);
  expect(tok.decode(tok.encode(long))).toBe(long);
});

test("a process that encoded ends by itself", () => {
  const library = path.resolve(import.meta.dirname, "../../lib/text/tokenizer.ts");
  const dir = path.join(goldenTokenizers, "llama3_style_bpe_1024");
  const file = path.join(tempDir(), "script.mts");
  const load = `import { loadTokenizer } from ${JSON.stringify(library)};`;
  writeFileSync(
    file,
    `${load} const t = await loadTokenizer(${JSON.stringify(dir)}); console.log(t.decode(t.encode("hello")));`,
  );
  const cwd = path.resolve(import.meta.dirname, "../..");
  const out = execFileSync(process.execPath, ["--import", "tsx", file], {
    encoding: "utf8",
    timeout: 30_000,
    cwd,
  });
  expect(out).toBe("hello\n");
});
