import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodePair, encodeTexts } from "../../lib/text/encode_pair.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { oracleFolders } from "../support/golden.ts";
import { chatTokenizer, tokenizerFolder } from "../support/golden_tokenizer.ts";

const tokenizers: Record<string, () => Promise<Tokenizer>> = {
  "byte-level with bos": () => loadTokenizer(path.join(oracleFolders()[0]!, "model")),
  "llama3 style, without bos": () => chatTokenizer(),
  "llama2 style": () =>
    loadTokenizer(
      tokenizerFolder("llama2_style_bpe_1024", {
        "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
      }),
    ),
  "with bos and eos around": () => loadTokenizer(tokenizerFolder("llama2_style_bpe_1024", around())),
};

function around(): Record<string, unknown> {
  const file = path.join(tokenizerFolder("llama2_style_bpe_1024"), "tokenizer.json");
  const json = JSON.parse(readFileSync(file, "utf8"));
  json.post_processor.single.push({ SpecialToken: { id: "</s>", type_id: 0 } });
  json.post_processor.special_tokens["</s>"] = { id: "</s>", ids: [2], tokens: ["</s>"] };
  return { "tokenizer.json": json, "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" } };
}

const text = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.string({ unit: "grapheme", maxLength: 6 }),
  fc
    .array(fc.constantFrom(" ", "\n", "the", "a", "12", "=", "é", "."), { maxLength: 6 })
    .map((w) => w.join("")),
);

describe.each(Object.keys(tokenizers))("%s", (name) => {
  test("prompt as alone, both spell the whole, eos once at the end, bos only in front", async () => {
    const tok = await tokenizers[name]!();
    const spelled = (ids: number[]) => tok.decode(ids, { skipSpecialTokens: true });
    let undecided = 0;
    await fc.assert(
      fc.asyncProperty(text, text, async (prompt, completion) => {
        const pair = await encodePair(tok, prompt, completion);
        if (!pair) return void undecided++;
        const [alone, whole] = await encodeTexts(tok, [prompt, prompt + completion]);
        expect(pair.prompt).toEqual(alone);
        expect(spelled([...pair.prompt, ...pair.completion])).toBe(spelled(whole!));
        expect(pair.completion.indexOf(tok.eosTokenId!)).toBe(pair.completion.length - 1);
        expect([...pair.prompt, ...pair.completion].lastIndexOf(tok.bosTokenId!)).toBeLessThan(1);
      }),
      { numRuns: 300 },
    );
    expect(undecided).toBeLessThan(15);
  });

  test("special tokens in the text are not doubled", async () => {
    const tok = await tokenizers[name]!();
    const { bosToken: bos, eosToken: eos, bosTokenId, eosTokenId } = tok;
    const { prompt, completion } = (await encodePair(tok, `${bos}Hello`, ` world${eos}`))!;
    const ids = [...prompt, ...completion];
    expect(ids.filter((id) => id === bosTokenId).length).toBe(1);
    expect(ids.filter((id) => id === eosTokenId).length).toBe(1);
    expect(ids.indexOf(bosTokenId!)).toBe(0);
    expect(ids.indexOf(eosTokenId!)).toBe(ids.length - 1);
  });
});

test("a completion that would merge with the prompt begins with a token of its own", async () => {
  const tok = await tokenizers["byte-level with bos"]!();
  const prompt = "Rain: ";
  const merged = tok.encode(`${prompt}the`);
  expect(merged.slice(0, tok.encode(prompt).length)).not.toEqual(tok.encode(prompt));
  expect(await encodePair(tok, prompt, "the")).toEqual({
    prompt: tok.encode(prompt),
    completion: [...tok.encode("the", { addSpecialTokens: false }), tok.eosTokenId],
  });
});
