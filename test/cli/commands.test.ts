import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { mixwright, objectsIn, tinyAdapter, tinyModel, works } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";
import { someTexts, writeJsonl, writeTexts } from "../support/texts.ts";

const llama = tinyModel("llama");
const mixtral = tinyModel("mixtral");
const json = async (args: readonly string[]) => JSON.parse(await works([...args, "--json"]));

describe("info", () => {
  it("describes a model by its headers", async () => {
    const described = await json(["info", mixtral]);
    expect(described).toMatchObject({
      modelType: "mixtral",
      parameters: { total: 213_824, active: 140_096 },
      layers: 2,
      experts: { count: 4, perToken: 2, width: 96 },
      dtypes: ["F32"],
    });
    expect(described.files.map(({ name }: { name: string }) => name)).toEqual(readdirSync(mixtral).sort());
    expect(await works(["info", mixtral])).toMatch(/^parameters +214k \(213824\), 140k active a token$/m);
  });

  it("describes an adapter", async () => {
    const described = await json(["info", tinyAdapter("mixtral", "lora_experts")]);
    expect(described).toMatchObject({ kind: "LoRA", rank: 4, targets: ["w1", "w2", "w3"], dtypes: ["F32"] });
  });

  it("says in one line what is no folder of a model", async () => {
    const { code, stderr } = await mixwright(["info", tempDir()]);
    expect(stderr).toMatch(/^mixwright: loadModel: .*config.json can't be read .*\n$/);
    expect(code).toBe(1);
    expect((await mixwright(["info", tempDir()], { env: { MIXWRIGHT_DEBUG: "sync" } })).stderr).toContain(
      "    at ",
    );
  });
});

describe("doctor", () => {
  it("finds a working engine", async () => {
    const found = await json(["doctor"]);
    expect(found.ok).toBe(true);
    expect(found.engine.value).toContain("baseline");
  });

  it("says why there is no CUDA device, and what to do", async () => {
    const { CUDA, ok } = JSON.parse(await works(["doctor", "--json"], { env: { MIXWRIGHT_ENGINE: "cpu" } }));
    expect(ok).toBe(true);
    expect(CUDA.value).toMatch(/built.*, no device: MIXWRIGHT_ENGINE is cpu\. Unset it, or set it to cuda$/);
  });

  it("fails where the engine is missing, and says what mends it", async () => {
    // A copy of the package without its binary.
    const root = tempDir();
    const own = path.resolve(import.meta.dirname, "../..");
    cpSync(path.join(own, "dist"), path.join(root, "dist"), { recursive: true });
    cpSync(path.join(own, "package.json"), path.join(root, "package.json"));
    symlinkSync(path.join(own, "node_modules"), path.join(root, "node_modules"));
    const { status, stdout } = spawnSync(process.execPath, [path.join(root, "dist/cli/main.js"), "doctor"], {
      encoding: "utf8",
    });
    expect(stdout).toMatch(/no native engine loads/);
    expect(stdout).toContain("npx node-gyp rebuild");
    expect(status).toBe(1);
  });
});

describe("text and models", () => {
  it("tokenize and eval agree on a text and its token file", async () => {
    const dir = tempDir();
    const data = writeTexts(path.join(dir, "d.jsonl"), 12);
    const file = path.join(dir, "d.ds");
    const info = await json(["tokenize", "--model", llama, "--data", data, "--out", file]);
    expect(info).toMatchObject({ file, documents: 12, tokenBytes: 2 });
    const [ofText, ofTokens] = [
      await json(["eval", "--model", llama, "--data", data]),
      await json(["eval", "--model", llama, "--data", file, "--batch-tokens", "4096"]),
    ];
    expect(ofTokens).toEqual(ofText);
    expect(ofText.tokens).toBe(info.tokens - 12);
    expect(ofText.perplexity).toBeCloseTo(Math.exp(ofText.loss), 6);
    const bytes = someTexts(12).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    expect(ofText.bitsPerByte).toBeCloseTo((ofText.loss * ofText.tokens) / Math.LN2 / bytes, 6);
  });

  it("eval scores questions with several answers, beside a text or alone", async () => {
    const dir = tempDir();
    const data = writeTexts(path.join(dir, "d.jsonl"), 3);
    const file = path.join(dir, "q.jsonl");
    writeFileSync(file, `${JSON.stringify({ query: "the", choices: ["quick fox", "b", "c"], gold: 0 })}\n`);
    const base = ["eval", "--model", llama];
    const both = await json([...base, "--data", data, "--choices", file, `again=${file}`]);
    expect(Object.keys(both.choices)).toEqual(["q", "again"]);
    expect(both.choices.q).toMatchObject({ questions: 1, truncated: 0 });
    expect(both.loss).toBeGreaterThan(0);
    expect(await json([...base, "--choices", file])).toEqual({ choices: { q: both.choices.q } });
    expect(await works([...base, "--choices", file])).toMatch(/q +\d+\.0 % right.*guessing 33\.3 %/);
    const { code, stderr } = await mixwright(base);
    expect(stderr).toMatch(/neither --data nor --choices/);
    expect(code).toBe(2);
  });

  it("generate streams the text that --json gives token by token", async () => {
    const args = ["generate", "--model", mixtral, "--max-new-tokens", "12", "--seed", "3"];
    const pieces = objectsIn(await works([...args, "--prompt", "the quick", "--json"]));
    expect(pieces.length).toBeGreaterThan(0);
    expect(pieces.at(-1)!.finished).toMatch(/stop|length/);
    const whole = await works([...args], { stdin: "the quick" });
    expect(whole).toBe(`${pieces.map(({ text }) => text).join("")}\n`);
    const { code, stderr } = await mixwright([...args, "--prompt", "a", "--top-p", "2"]);
    expect(stderr).toMatch(/--top-p is 2, at most 1 was needed/);
    expect(code).toBe(2);
  });

  it("chat answers each line of stdin", async () => {
    const args = ["chat", "--model", llama, "--max-new-tokens", "5", "--temperature", "0"];
    const answers = objectsIn(await works([...args, "--json"], { stdin: "hi\n\nand now?\n" }));
    expect(answers).toHaveLength(2);
    for (const answer of answers) expect(answer).toEqual({ role: "assistant", content: expect.any(String) });
    const plain = await works(args, { stdin: "hi\n" });
    expect(plain).toBe(`${answers[0]!.content}\n`);
  });

  it("merge gives a model that predicts as model and adapter do", async () => {
    const dir = tempDir();
    const data = writeTexts(path.join(dir, "d.jsonl"), 4);
    const adapter = tinyAdapter("mixtral", "lora_experts");
    const out = path.join(dir, "merged");
    await json(["merge", "--model", mixtral, "--adapter", adapter, "--out", out]);
    const apart = await json(["eval", "--model", mixtral, "--adapter", adapter, "--data", data]);
    const merged = await json(["eval", "--model", out, "--data", data]);
    const base = await json(["eval", "--model", mixtral, "--data", data]);
    expect(merged.loss).toBeCloseTo(apart.loss, 4);
    expect(Math.abs(base.loss - apart.loss)).toBeGreaterThan(1e-3);
    const again = await mixwright(["merge", "--model", mixtral, "--adapter", adapter, "--out", out]);
    expect(again.stderr).toMatch(/holds \d+ files already/);
    expect(again.code).toBe(1);
  });
});

describe("sft", () => {
  const rows = [
    { prompt: "the quick", completion: " brown fox" },
    {
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", content: "a lazy dog" },
      ],
    },
    { prompt: "no", completion: "" },
  ];

  it("trains an adapter that eval and merge take", async () => {
    const dir = tempDir();
    const data = writeJsonl(path.join(dir, "rows.jsonl"), rows);
    const out = path.join(dir, "out");
    const args = [
      "sft",
      "--model",
      llama,
      "--data",
      data,
      "--out",
      out,
      "--steps",
      "8",
      "--lr",
      "0.01",
      "--seed",
      "1",
    ];
    const adapter = [
      "--adapter",
      "dora",
      "--rank",
      "2",
      "--targets",
      "q_proj",
      "down_proj",
      "--validation",
      data,
    ];
    const { code, stdout, stderr } = await mixwright([...args, ...adapter, "--json"]);
    expect(code).toBe(0);
    const lines = objectsIn(stdout);
    expect(lines.at(-1)!.loss).toBeLessThan(lines[0]!.loss as number);
    expect(lines.at(-1)!.validation).toEqual({ validation: expect.any(Number) });
    const text = writeTexts(path.join(dir, "t.jsonl"), 2);
    await json(["eval", "--model", llama, "--adapter", out, "--data", text]);
    expect(await json(["info", out])).toMatchObject({
      kind: "DoRA",
      rank: 2,
      targets: ["q_proj", "down_proj"],
    });
    expect(stderr).toBe("");
  });

  it("trains all weights, and refuses an adapter's settings then", async () => {
    const dir = tempDir();
    const data = writeJsonl(path.join(dir, "rows.jsonl"), rows);
    const out = path.join(dir, "out");
    const args = [
      "sft",
      "--model",
      llama,
      "--data",
      data,
      "--out",
      out,
      "--steps",
      "2",
      "--no-completion-only",
    ];
    const { code, stderr } = await mixwright([...args, "--rank", "4"]);
    expect(stderr).toContain("--rank is a setting of adapters. Give --adapter lora or dora with it");
    expect(code).toBe(2);
    await works(args);
    expect(JSON.parse(readFileSync(path.join(out, "run.json"), "utf8")).settings).toMatchObject({
      adapter: "none",
      completionOnly: false,
    });
    const config = path.join(dir, "run.yaml");
    writeFileSync(config, "adapter: lora\ntargets: q_proj\n");
    const one = path.join(dir, "one");
    await works([...args, "--config", config, "--out", one]);
    expect(await json(["info", one])).toMatchObject({ targets: ["q_proj"] });
    writeFileSync(path.join(dir, "bad.jsonl"), '{"text":1}\n');
    const bad = await mixwright([
      ...args,
      "--data",
      path.join(dir, "bad.jsonl"),
      "--out",
      path.join(dir, "o2"),
    ]);
    expect(bad.stderr).toMatch(/bad.jsonl:1: text is 1, a string was needed/);
    expect(bad.code).toBe(1);
  });
});
