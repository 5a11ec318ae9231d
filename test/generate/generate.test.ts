import { cpSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachLora } from "../../lib/adapters/attach.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { generateBatch } from "../../lib/generate/batch.ts";
import { type Generated, type GenerateOptions, generate } from "../../lib/generate/generate.ts";
import { createModel } from "../../lib/models/create.ts";
import { exampleModelDir } from "../../lib/models/example_model.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { oracleFolders } from "../support/golden.ts";
import { expectClose, readJson } from "../support/oracle.ts";
import { tempDir } from "../support/temp_dir.ts";
import { testDevice } from "../support/test_device.ts";

interface Greedy {
  prompt: number[];
  continuation: number[];
  first_step_logits: number[];
  last_step_logits: number[];
}

/** Everything that an iteration gives. */
async function collect(
  items: AsyncIterable<Generated>,
): Promise<{ items: Generated[]; text: string; tokens: number[] }> {
  const all: Generated[] = [];
  for await (const item of items) all.push(item);
  return { items: all, text: all.map((item) => item.text).join(""), tokens: all.map((item) => item.token) };
}

const logSoftmax = (logits: number[], id: number): number => {
  const top = Math.max(...logits);
  return logits[id]! - top - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - top), 0));
};

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

describe.each(oracleFolders())("float64 reference: %s", (folder) => {
  const { greedy, vocab_size: V } = readJson<{ greedy: Greedy; vocab_size: number }>(folder, "expected.json");
  const { prompt, continuation } = greedy;
  let model: Model;
  let tok: Tokenizer;
  let live: number;
  beforeAll(async () => {
    model = await loadModel(path.join(folder, "model"), { device: dev });
    tok = await loadTokenizer(path.join(folder, "model"));
    live = dev.stats().live;
  });
  afterAll(() => model.dispose());
  const all = async (options: GenerateOptions) => {
    const result = await collect(generate(model, tok, { maxNewTokens: 24, temperature: 0, ...options }));
    expect(dev.stats().live).toBe(live);
    return result;
  };

  test("greedy tokens and their probabilities", async () => {
    const { items, tokens, text } = await all({ tokens: prompt, logProbs: true });
    expect(tokens).toEqual(continuation);
    expect(text).toBe(tok.decode(continuation));
    expect(items.map((item) => item.finished).filter(Boolean)).toEqual(["length"]);
    expect(items.at(-1)!.finished).toBe("length");
    const want = [greedy.first_step_logits, greedy.last_step_logits].map((logits, i) =>
      logSoftmax(logits, continuation.at(-i)!),
    );
    expectClose([items[0]!.logProb!, items.at(-1)!.logProb!], want, 1e-4, "log-probabilities");
  });

  test("without a cache the logits are the same", async () => {
    const { items } = await all({ tokens: prompt, logProbs: true });
    const logits = model.logits(packBatch([[...prompt, ...continuation]]));
    const values = await logits.data();
    logits.dispose();
    const row = (t: number) => Array.from(values.subarray(t * V, (t + 1) * V));
    expectClose(row(prompt.length - 1), greedy.first_step_logits, 1e-4, "first logits");
    expectClose(row(prompt.length + 22), greedy.last_step_logits, 1e-4, "last logits");
    const want = continuation.map((id, i) => logSoftmax(row(prompt.length - 1 + i), id));
    expectClose(
      items.map((item) => item.logProb!),
      want,
      1e-5,
      "log-probabilities",
    );
  });

  test("many at once: each prompt as alone", async () => {
    const prompts = [prompt, [5], prompt.slice(0, 3), [...prompt, ...continuation.slice(0, 10)], [7, 8]];
    const options = { temperature: 0, maxNewTokens: 12, logProbs: true };
    const batch = await generateBatch(model, prompts, options);
    for (const [i, tokens] of prompts.entries()) {
      const alone = await generateBatch(model, [tokens], options);
      expect(batch.tokens[i]).toEqual(alone.tokens[0]);
      expectClose(batch.logProbs![i]!, alone.logProbs![0]!, 1e-5, `prompt ${i}`);
    }
    expect(batch.tokens[3]).toEqual(continuation.slice(10, 22));
    expect(await generateBatch(model, [], options)).toEqual({ tokens: [], finished: [], logProbs: [] });
    expect(dev.stats().live).toBe(live);
  });

  test("a sequence that ends leaves the batch, the others go on", async () => {
    const [plain] = (await generateBatch(model, [[5]], { temperature: 0, maxNewTokens: 12 })).tokens;
    const end = continuation[4]!;
    expect(plain).not.toContain(end);
    const options = { temperature: 0, maxNewTokens: 12, stop: [end] };
    const batch = await generateBatch(model, [prompt, [5]], options);
    expect(batch).toEqual({
      tokens: [continuation.slice(0, continuation.indexOf(end) + 1), plain],
      finished: ["stop", "length"],
    });
  });

  test("the seed decides", async () => {
    const draw = async (seed?: number, more: GenerateOptions = {}) =>
      (await all({ tokens: prompt, temperature: 1.5, ...(seed !== undefined && { seed }), ...more })).tokens;
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    expect(await draw(2)).not.toEqual(first);
    expect(await draw(0)).toEqual(await draw());
    expect(await draw(3, { topK: 1 })).toEqual(continuation);
    expect(await draw(3, { topP: 1e-6 })).toEqual(continuation);
    const twins = await generateBatch(model, [prompt, prompt], {
      maxNewTokens: 24,
      temperature: 1.5,
      seed: 1,
    });
    expect(twins.tokens[0]).not.toEqual(twins.tokens[1]);
    const again = await generateBatch(model, [prompt, prompt], {
      maxNewTokens: 24,
      temperature: 1.5,
      seed: 1,
    });
    expect(again).toEqual(twins);
  });

  test("stop strings, also across tokens; a token id; the text holds no part of them", async () => {
    const whole = await all({ prompt: "hello" });
    const at = Math.floor(whole.text.length / 2);
    const stop = whole.text.slice(at, at + 3);
    const before = whole.text.slice(0, whole.text.indexOf(stop));
    const stopped = await all({ prompt: "hello", stop });
    expect(stopped.text).toBe(before);
    expect(stopped.items.at(-1)!.finished).toBe("stop");
    expect(whole.tokens.slice(0, stopped.tokens.length)).toEqual(stopped.tokens);
    expect(stopped.tokens.length).toBeLessThan(whole.tokens.length);
    const id = whole.tokens[5]!;
    const cut = whole.tokens.indexOf(id);
    const byId = await all({ prompt: "hello", stop: ["no such text", id] });
    expect(byId.tokens).toEqual(whole.tokens.slice(0, cut + 1));
    expect(byId.text).toBe(
      tok
        .decode([...tok.encode("hello"), ...whole.tokens.slice(0, cut)])
        .slice(tok.decode(tok.encode("hello")).length),
    );
  });

  test("prompt, messages and tokens say the same", async () => {
    const messages = [{ role: "user", content: "hello" }];
    const ids = tok.applyChatTemplate(messages, { addGenerationPrompt: true });
    expect((await all({ messages })).tokens).toEqual((await all({ tokens: ids })).tokens);
    expect((await all({ prompt: "hello" })).tokens).toEqual(
      (await all({ tokens: tok.encode("hello") })).tokens,
    );
  });

  test("a break frees the cache", async () => {
    let seen = 0;
    for await (const _ of generate(model, tok, { tokens: prompt })) {
      expect(dev.stats().live).toBeGreaterThan(live);
      if (++seen === 3) break;
    }
    expect([seen, dev.stats().live]).toEqual([3, live]);
  });

  test("an abort throws the signal's reason", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const { signal } = controller;
    let seen = 0;
    const work = async () => {
      for await (const _ of generate(model, tok, { tokens: prompt, signal }))
        if (++seen === 2) controller.abort(reason);
    };
    await expect(work()).rejects.toBe(reason);
    expect([seen, dev.stats().live]).toEqual([2, live]);
    await expect(generate(model, tok, { tokens: prompt, signal }).next()).rejects.toBe(reason);
    await expect(generateBatch(model, [prompt], { signal })).rejects.toBe(reason);
    const later = new AbortController();
    const batch = generateBatch(model, [prompt], { signal: later.signal, maxNewTokens: 200 });
    later.abort(reason);
    await expect(batch).rejects.toBe(reason);
    expect(dev.stats().live).toBe(live);
  });

  test("the context ends a text", async () => {
    const { maxPositionEmbeddings } = model.config;
    const long = Array.from({ length: maxPositionEmbeddings - 3 }, (_, i) => i % 200);
    const { items } = await all({ tokens: long });
    expect([items.length, items.at(-1)!.finished]).toEqual([3, "length"]);
    expect(() => generate(model, tok, { tokens: [...long, 1, 2, 3] })).toThrow(
      "the model's context holds 256",
    );
  });

  test("bf16 runs", async () => {
    const small = await loadModel(path.join(folder, "model"), { device: dev, dtype: "bf16" });
    const { tokens, logProbs } = await generateBatch(small, [prompt, [5]], {
      maxNewTokens: 8,
      temperature: 0,
      logProbs: true,
    });
    expect(tokens.map((ids) => ids.length)).toEqual([8, 8]);
    expect(tokens[0]![0]).toBe(continuation[0]);
    const want = logSoftmax(greedy.first_step_logits, continuation[0]!);
    expectClose([logProbs![0]![0]!], [want], 0.1, "log-probability");
    small.dispose();
    expect(dev.stats().live).toBe(live);
  });

  test("options that don't fit are refused", async () => {
    const cases: [object, string][] = [
      [{ tokens: prompt, temprature: 1 }, 'generate: unknown option "temprature", is it temperature?'],
      [{}, "generate: nothing given, exactly one of prompt, messages and tokens was needed"],
      [{ tokens: prompt, prompt: "a" }, "prompt and tokens given"],
      [{ tokens: [] }, "prompt 0 is empty"],
      [{ tokens: prompt, stop: [""] }, "a stop string is empty"],
      [{ tokens: prompt, maxNewTokens: 0 }, "maxNewTokens is 0, a whole number from 1 was needed"],
      [{ tokens: prompt, temperature: -1 }, "temperature is -1"],
      [{ tokens: prompt, temperature: Number.NaN }, "temperature is NaN"],
      [{ tokens: prompt, topP: 0 }, "topP is 0"],
      [{ tokens: prompt, topK: 1.5 }, "topK is 1.5"],
      [{ tokens: prompt, seed: -1 }, "seed is -1"],
    ];
    for (const [options, message] of cases) {
      expect(() => generate(model, tok, options as GenerateOptions), message).toThrow(ConfigError);
      expect(() => generate(model, tok, options as GenerateOptions)).toThrow(message);
    }
    await expect(generate(model, tok, { tokens: [V] }).next()).rejects.toThrow("token 0 is 320");
    await expect(generateBatch(model, [[1]], { prompt: "a" } as object)).rejects.toThrow(
      'generateBatch: unknown option "prompt"',
    );
    await expect(generateBatch(model, [[1], []])).rejects.toThrow("prompt 1 is empty");
    expect(dev.stats().live).toBe(live);
  });
});

test("generation_config.json says what ends a text, to generate and generateBatch alike", async () => {
  const dir = tempDir();
  cpSync(exampleModelDir, dir, { recursive: true });
  const greedy = { maxNewTokens: 12, temperature: 0 };
  const write = (ids: unknown) =>
    writeFileSync(path.join(dir, "generation_config.json"), JSON.stringify({ eos_token_id: ids }));
  write([]);
  using free = await loadModel(dir, { device: dev });
  const { tokens, finished } = await generateBatch(free, [[1, 2, 3]], greedy);
  expect(finished).toEqual(["length"]);
  const end = tokens[0]![4]!;
  write([0, end]);
  using model = await loadModel(dir, { device: dev });
  const batch = await generateBatch(model, [[1, 2, 3]], greedy);
  expect(batch.finished).toEqual(["stop"]);
  expect(batch.tokens[0]).toEqual(tokens[0]!.slice(0, tokens[0]!.indexOf(end) + 1));
  const streamed = await collect(generate(model, await loadTokenizer(dir), { ...greedy, tokens: [1, 2, 3] }));
  expect(streamed.tokens).toEqual(batch.tokens[0]);
});

test("a window reaches into the cache as it does without", async () => {
  const model = createModel(
    {
      model_type: "mixtral",
      vocab_size: 64,
      hidden_size: 32,
      intermediate_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      num_local_experts: 4,
      sliding_window: 5,
      initializer_range: 0.5,
    },
    { device: dev, seed: 3 },
  );
  const prompts = [
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
    [9, 3],
  ];
  const { tokens, logProbs } = await generateBatch(model, prompts, {
    maxNewTokens: 20,
    stop: [],
    logProbs: true,
  });
  for (const [i, prompt] of prompts.entries()) {
    const logits = model.logits(packBatch([[...prompt, ...tokens[i]!]]));
    const values = await logits.data();
    logits.dispose();
    const want = tokens[i]!.map((id, n) => {
      const t = prompt.length - 1 + n;
      return logSoftmax(Array.from(values.subarray(t * 64, (t + 1) * 64)), id);
    });
    expectClose(logProbs![i]!, want, 1e-5, `prompt ${i}`);
  }
  model.dispose();
});

test("an adapter takes part, its dropout doesn't", async () => {
  const sizes = { vocab_size: 64, hidden_size: 32, intermediate_size: 24, num_hidden_layers: 2 };
  const model = createModel({ model_type: "llama", ...sizes, num_attention_heads: 4 }, { device: dev });
  const options = { maxNewTokens: 10, temperature: 0, stop: [], logProbs: true };
  const base = await generateBatch(model, [[1, 2, 3]], options);
  const adapted = async (dropout: number) => {
    const adapter = attachLora(model, { dropout, targets: "all-linear" });
    for (const [name, tensor] of Object.entries(adapter.params))
      if (name.includes("lora_B")) tensor.write(new Float32Array(tensor.size).fill(0.1));
    const result = await generateBatch(model, [[1, 2, 3]], options);
    adapter.dispose();
    return result;
  };
  const plain = await adapted(0);
  expect(plain.logProbs).not.toEqual(base.logProbs);
  expect(await adapted(0.9)).toEqual(plain);
  model.dispose();
});

test("a device without room for the cache says so and keeps nothing", async () => {
  const tight = await device(testDevice, { threads: 1, memoryLimitBytes: 2 ** 20 });
  const sizes = { vocab_size: 16, hidden_size: 32, intermediate_size: 8, num_hidden_layers: 4 };
  const model = createModel(
    { model_type: "llama", ...sizes, num_attention_heads: 2, max_position_embeddings: 4000 },
    { device: tight },
  );
  const { live } = tight.stats();
  await expect(generateBatch(model, [[1]], { maxNewTokens: 3000 })).rejects.toThrow("the limit is 1048576");
  expect(tight.stats().live).toBe(live);
  model.dispose();
  tight.close();
});
