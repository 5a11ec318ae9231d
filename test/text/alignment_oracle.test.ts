import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Pair, readLabelled, readPairs, readPrompts } from "../../lib/text/alignment_rows.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { chatTokenizer, tokenizerFolder } from "../support/golden_tokenizer.ts";
import { readJson } from "../support/oracle.ts";
import { sharedPath } from "../support/shared_data.ts";

const words = fc
  .array(fc.constantFrom(" ", "\n", "the", "a", "12", "=", "é", ".", "😀"), { minLength: 1, maxLength: 6 })
  .map((w) => w.join(""));

test("a pair's ids spell prompt and completions, with one eos, at the end", async () => {
  const tok = await loadTokenizer(
    tokenizerFolder("llama2_style_bpe_1024", {
      "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
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
      const turns = {
        prompt: [{ role: "user", content: prompt }],
        completion: [{ role: "assistant", content: completion }],
      };
      const { labelled } = await readLabelled([{ ...turns, label: true }], {
        tokenizer: tok,
        maxLength: 1000,
      });
      const got = labelled[0]!;
      expect(got.prompt).toEqual(tok.applyChatTemplate(turns.prompt, { addGenerationPrompt: true }));
      expect(tok.decode([...got.prompt, ...got.completion], { skipSpecialTokens: false })).toBe(
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
    expect({ truncated, dropped }).toEqual({ truncated: [], dropped: [] });
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
