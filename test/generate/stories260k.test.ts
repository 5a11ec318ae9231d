import { readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { generateBatch } from "../../lib/generate/batch.ts";
import { generate } from "../../lib/generate/generate.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { logProbs } from "../../lib/train/loss.ts";
import { expectClose, readJson } from "../support/oracle.ts";
import { sharedPath } from "../support/shared_data.ts";
import { testDevice } from "../support/test_device.ts";

interface Golden {
  greedy_ids: number[];
  greedy_text: string;
  prompts: {
    text: string;
    ids: number[];
    last_logits: number[];
    greedy_ids: number[];
    greedy_text: string;
  }[];
  tinystories_eval: {
    chars: number;
    tokens: number;
    window: number;
    mean_nll: number;
    first_windows_nll: number[];
  };
}

const dir = sharedPath("data/models/stories260K");
const stories = sharedPath("data/text/en/tinystories_mojibake_raw.txt.gz");

// A published model (Karpathy's llama2.c) and what it is known to write.
describe.skipIf(!dir)("stories260K", () => {
  let golden: Golden;
  let dev: Device;
  let model: Model;
  let tok: Tokenizer;
  beforeAll(async () => {
    golden = readJson<Golden>(dir!, "golden.json");
    dev = await device(testDevice, { threads: 2 });
    model = await loadModel(dir!, { device: dev });
    tok = await loadTokenizer(dir!);
  });
  afterAll(() => {
    model.dispose();
    expect(dev.stats().live).toBe(0);
    dev.close();
  });

  test("writes its published greedy text, byte for byte", async () => {
    let text = "";
    const ids = [tok.bosTokenId!];
    for await (const piece of generate(model, tok, { prompt: "", temperature: 0 })) {
      text += piece.text;
      ids.push(piece.token);
    }
    expect(ids).toEqual(golden.greedy_ids);
    expect(text).toBe(golden.greedy_text);
  });

  test("continues prompts, and many at once", async () => {
    const { prompts } = golden;
    for (const { text: prompt, ids, greedy_text } of prompts) {
      expect(tok.encode(prompt)).toEqual(ids);
      let text = prompt;
      for await (const piece of generate(model, tok, { prompt, temperature: 0, maxNewTokens: 40 }))
        text += piece.text;
      expect(text).toBe(greedy_text);
    }
    const { tokens } = await generateBatch(
      model,
      prompts.map((prompt) => prompt.ids),
      { temperature: 0, maxNewTokens: 40 },
    );
    expect(tokens.map((ids, i) => [...prompts[i]!.ids, ...ids])).toEqual(
      prompts.map((prompt) => prompt.greedy_ids),
    );
  });

  test("last logits of prompts", async () => {
    for (const { ids, last_logits } of golden.prompts) {
      const logits = model.logits(packBatch([ids]));
      const last = (await logits.data()).slice((ids.length - 1) * 512);
      logits.dispose();
      expectClose(last, last_logits, 1e-4, "last logits");
    }
  });

  test.skipIf(!stories)("loss on 60,000 characters of TinyStories", async () => {
    const want = golden.tinystories_eval;
    const text = gunzipSync(readFileSync(path.resolve(stories!)))
      .toString()
      .slice(0, want.chars);
    const ids = tok.encode(text, { addSpecialTokens: false });
    expect(ids.length).toBe(want.tokens);
    const size = want.window - 1; // each window begins with bos; what is left at the end is no window
    const windows = Array.from({ length: Math.floor(ids.length / size) }, (_, i) => [
      tok.bosTokenId!,
      ...ids.slice(i * size, (i + 1) * size),
    ]);
    const sums = logProbs(model, packBatch(windows));
    const nll = Array.from(await sums.data(), (sum) => -sum / size);
    sums.dispose();
    expectClose(nll.slice(0, 8), want.first_windows_nll, 2e-5, "first windows");
    expect(nll.reduce((a, b) => a + b) / nll.length).toBeCloseTo(want.mean_nll, 6);
  });
});
