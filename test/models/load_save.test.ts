import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachLora } from "../../lib/adapters/attach.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, FormatError, OutOfMemoryError } from "../../lib/core/errors.ts";
import { createModel } from "../../lib/models/create.ts";
import { loadModel } from "../../lib/models/load.ts";
import { saveModel } from "../../lib/models/save.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { hfTiny } from "../support/fixture.ts";
import { oracleFolders } from "../support/golden.ts";
import {
  type Content,
  changedFolder,
  contentOf,
  createdFolder,
  digestOf,
  logitsOf,
  paramsOf,
  readObject,
  tiny,
} from "../support/model_folder.ts";
import { tempDir } from "../support/temp_dir.ts";

const llamaDir = path.join(oracleFolders()[0]!, "model");
const mixtralDir = path.join(oracleFolders()[1]!, "model");
let dev: Device;
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

describe("what was loaded is saved again: names, shapes, formats, shards and bytes", () => {
  const folders = [
    llamaDir,
    mixtralDir,
    ...["qwen3", "olmoe", "qwen2_moe", "qwen3_moe"].map((f) => hfTiny(f)!),
  ];
  test.each(folders)("%s", async (from) => {
    const model = await loadModel(from, { device: dev });
    const dir = path.join(tempDir(), "new", "folder");
    await saveModel(model, dir);
    expect(await digestOf(dir)).toEqual(await digestOf(from));
    expect(readObject(dir, "config.json")).toEqual(readObject(from, "config.json"));
    expect(readdirSync(dir).sort()).toEqual(
      readdirSync(from)
        .filter((file) => file !== "expected.safetensors")
        .sort(),
    );
    const index = "model.safetensors.index.json";
    if (readdirSync(from).includes(index))
      expect(readObject(dir, index).weight_map).toEqual(readObject(from, index).weight_map);
    const again = await loadModel(dir, { device: dev });
    expect(await logitsOf(again)).toEqual(await logitsOf(model));
    model.dispose();
    again.dispose();
  });

  /** Every pattern of 16 bits that is no NaN. */
  const patterns = (infinity: number) =>
    Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).filter((bits) => (bits & 0x7fff) <= infinity);

  test.each([
    ["F16", 0x7c00],
    ["BF16", 0x7f80],
  ] as const)("%s on disk, every value that it has", async (dtype, infinity) => {
    const bits = patterns(infinity);
    const rows = Math.ceil(bits.length / 16);
    const values = new Uint16Array(rows * 16);
    values.set(bits);
    const from = await changedFolder(await createdFolder(dev, { ...tiny, vocab_size: rows }), (tensors) => {
      for (const tensor of Object.values(tensors)) {
        tensor.dtype = dtype;
        tensor.bytes = new Uint8Array(tensor.bytes.length / 2).map((_, i) => (i % 2 ? 0x3c : 0x12));
      }
      tensors["model.embed_tokens.weight"]!.bytes = new Uint8Array(values.buffer);
    });
    const dir = tempDir();
    const model = await loadModel(from, { device: dev });
    await saveModel(model, dir);
    expect(await digestOf(dir)).toEqual(await digestOf(from));
    model.dispose();
  });

  test("bf16 in memory keeps the formats on disk; a float32 file gets rounded values", async () => {
    const model = await loadModel(llamaDir, { device: dev, dtype: "bf16" });
    const dir = tempDir();
    await saveModel(model, dir);
    const { tensors } = await contentOf(dir);
    expect(new Set(Object.values(tensors).map((tensor) => tensor.dtype))).toEqual(new Set(["F32"]));
    const again = await loadModel(dir, { device: dev });
    expect(await paramsOf(again)).toEqual(await paramsOf(model));
    model.dispose();
    again.dispose();
  });

  test("values rounded to F16 and BF16 go to the nearest, ties to even, too large ones to infinity", async () => {
    const cases: [number, number, number][] = [
      [1, 0x3c00, 0x3f80],
      [1 + 2 ** -11, 0x3c00, 0x3f80], // halfway, even below
      [1 + 3 * 2 ** -11, 0x3c02, 0x3f80], // halfway, even above
      [1 + 2 ** -11 + 2 ** -20, 0x3c01, 0x3f80],
      [1 + 2 ** -8, 0x3c04, 0x3f80],
      [1 + 3 * 2 ** -8, 0x3c0c, 0x3f82],
      [65519, 0x7bff, 0x4780],
      [65520, 0x7c00, 0x4780],
      [3.4e38, 0x7c00, 0x7f80],
      [-(2 ** -24), 0x8001, 0xb380],
      [2 ** -25, 0, 0x3300],
      [2 ** -25 * 1.5, 1, 0x3340],
      [2 ** -14 - 2 ** -26, 0x0400, 0x3880],
      [-0, 0x8000, 0x8000],
      [-Infinity, 0xfc00, 0xff80],
    ];
    for (const [column, dtype] of [
      [1, "F16"],
      [2, "BF16"],
    ] as const) {
      const from = await changedFolder(await createdFolder(dev, tiny), (tensors) => {
        const norm = tensors["model.norm.weight"]!;
        norm.dtype = dtype;
        norm.bytes = new Uint8Array(norm.bytes.length / 2);
      });
      const model = await loadModel(from, { device: dev });
      const values = [...cases.map((c) => c[0]), Number.NaN];
      model.params["model.norm.weight"]!.write(Float32Array.from(values));
      const dir = tempDir();
      await saveModel(model, dir);
      const saved = (await contentOf(dir)).tensors["model.norm.weight"]!.bytes;
      const bits = Array.from(new Uint16Array(saved.buffer));
      expect(bits.slice(0, -1).map((b) => b.toString(16))).toEqual(cases.map((c) => c[column].toString(16)));
      expect(bits.at(-1)! & 0x7fff).toBeGreaterThan(column === 1 ? 0x7c00 : 0x7f80);
      model.dispose();
    }
  });

  test("over the folder it came from; files of an older save go, others stay", async () => {
    const dir = tempDir();
    cpSync(mixtralDir, dir, { recursive: true });
    writeFileSync(path.join(dir, "notes.txt"), "mine");
    const before = await digestOf(dir);
    const model = await loadModel(dir, { device: dev });
    await saveModel(model, dir);
    expect(await digestOf(dir)).toEqual(before);
    const single = createModel(tiny, { device: dev });
    await saveModel(single, dir);
    expect((await contentOf(dir)).shards).toEqual(["model.safetensors"]);
    expect(readdirSync(dir)).not.toContain("model.safetensors.index.json");
    expect(readFileSync(path.join(dir, "notes.txt"), "utf8")).toBe("mine");
    model.dispose();
    single.dispose();
  });

  test("also where the folder it came from is gone", async () => {
    const from = await createdFolder(dev, tiny);
    const model = await loadModel(from, { device: dev });
    rmSync(from, { recursive: true });
    const dir = tempDir();
    const warned = once(process, "warning");
    await saveModel(model, dir);
    expect(String(await warned)).toContain(`saveModel: ${from}, where the model came from, is gone`);
    expect(readdirSync(dir).sort()).toEqual(["config.json", "model.safetensors"]);
    await expect(saveModel(model, dir, { tokenizerFrom: from })).rejects.toThrow(from);
    await saveModel(model, dir, { tokenizerFrom: llamaDir });
    expect(readdirSync(dir)).toContain("tokenizer.json");
    writeFileSync(from, ""); // there, and can't be listed
    await expect(saveModel(model, dir)).rejects.toMatchObject({ code: "ENOTDIR" });
    rmSync(from);
    model.dispose();
  });
});

describe("a head tied to the embedding", () => {
  test("is one tensor, in memory and on disk", async () => {
    const model = createModel({ ...tiny, tie_word_embeddings: true }, { device: dev });
    expect(Object.keys(model.params)).not.toContain("lm_head.weight");
    const dir = tempDir();
    await saveModel(model, dir);
    expect(Object.keys((await contentOf(dir)).tensors).sort()).toEqual(Object.keys(model.params).sort());
    const again = await loadModel(dir, { device: dev });
    expect(await logitsOf(again)).toEqual(await logitsOf(model));
    model.dispose();
    again.dispose();
  });

  test("equals an untied head of the same weights; a copy of it on disk is passed over", async () => {
    const from = await createdFolder(dev, { ...tiny, tie_word_embeddings: true });
    const copy = (tensors: Content["tensors"]) => {
      tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]!;
    };
    const tied = await loadModel(await changedFolder(from, copy), { device: dev });
    const untied = await loadModel(await changedFolder(from, copy, { tie_word_embeddings: false }), {
      device: dev,
    });
    expect(await logitsOf(tied)).toEqual(await logitsOf(untied));
    tied.dispose();
    untied.dispose();
  });
});

describe("a folder that isn't right is refused, and nothing stays in memory", () => {
  const set = (tensors: Content["tensors"], name: string, tensor: Content["tensors"][string]) => {
    tensors[name] = tensor;
  };
  const up = "model.layers.1.mlp.up_proj.weight";
  const cases: [string, () => Promise<string> | string, string][] = [
    [
      "a missing tensor",
      () => changedFolder(llamaDir, (tensors) => void delete tensors[up]),
      `tensors its config.json asks for, first ${up}`,
    ],
    [
      "a tensor left over",
      () => changedFolder(llamaDir, (tensors) => set(tensors, "model.layers.0.extra", tensors[up]!)),
      "holds 1 tensors that its config.json has no place for, first model.layers.0.extra",
    ],
    [
      "another shape",
      () =>
        changedFolder(llamaDir, (tensors) =>
          set(tensors, up, { ...tensors[up]!, shape: [...tensors[up]!.shape].reverse() }),
        ),
      `${up} is [`,
    ],
    [
      "more layers in config.json",
      () => changedFolder(llamaDir, () => undefined, { num_hidden_layers: 9 }),
      "first model.layers.",
    ],
    [
      "fewer layers in config.json",
      () => changedFolder(llamaDir, () => undefined, { num_hidden_layers: 1 }),
      "no place for, first model.layers.1.",
    ],
    [
      "another vocabulary",
      () => changedFolder(llamaDir, () => undefined, { vocab_size: 321 }),
      "model.embed_tokens.weight is [320, ",
    ],
    [
      "a format that is not read",
      () => changedFolder(llamaDir, (tensors) => set(tensors, up, { ...tensors[up]!, dtype: "I32" })),
      `${up} is stored as I32; this build reads F32, BF16 and F16`,
    ],
    [
      "a truncated file",
      async () => {
        const dir = await changedFolder(llamaDir, () => undefined);
        const file = path.join(dir, "model.safetensors");
        truncateSync(file, readFileSync(file).length - 100);
        return dir;
      },
      "model.safetensors",
    ],
    [
      "no weights",
      () => {
        const dir = tempDir();
        copyFileSync(path.join(llamaDir, "config.json"), path.join(dir, "config.json"));
        return dir;
      },
      "neither model.safetensors nor model.safetensors.index.json is there",
    ],
    ["no config.json", () => tempDir(), "config.json can't be read"],
    ["no folder", () => path.join(tempDir(), "none"), "a Hugging Face model folder was needed"],
    [
      "config.json is no JSON",
      () => {
        const dir = tempDir();
        writeFileSync(path.join(dir, "config.json"), "{");
        return dir;
      },
      "not JSON",
    ],
    [
      "config.json is a list",
      () => {
        const dir = tempDir();
        writeFileSync(path.join(dir, "config.json"), "[]");
        return dir;
      },
      "holds no JSON object",
    ],
  ];
  test.each(cases)("%s", async (_, make, message) => {
    const dir = await make();
    const { live } = dev.stats();
    const error = await loadModel(dir, { device: dev }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toContain(message);
    expect(dev.stats().live).toBe(live);
  });

  test("an unknown model_type, and unknown options", async () => {
    const dir = await changedFolder(llamaDir, () => undefined, { model_type: "llama9" });
    await expect(loadModel(dir, { device: dev })).rejects.toThrow(
      'model_type "llama9"; this build reads llama, qwen3,',
    );
    const wrong = (options: object) => ({ device: dev, ...options }) as { device: Device };
    await expect(loadModel(llamaDir, wrong({ dtyp: "f32" }))).rejects.toThrow(
      'loadModel: unknown option "dtyp", is it dtype?',
    );
    await expect(loadModel(llamaDir, wrong({ dtype: "f16" }))).rejects.toThrow(
      'dtype "f16", f32 or bf16 was needed',
    );
    expect(() => createModel(tiny, wrong({ seeds: 1 }))).toThrow(
      'createModel: unknown option "seeds", is it seed?',
    );
    expect(() => createModel(tiny, wrong({ dtype: "i32" }))).toThrow('createModel: dtype "i32"');
    const model = createModel(tiny, { device: dev });
    const target = path.join(tempDir(), "x");
    await expect(saveModel(model, target, { tokenizer: "." } as object)).rejects.toThrow(
      'unknown option "tokenizer"',
    );
    model.dispose();
  });

  test("a token id outside of the vocabulary", async () => {
    const model = createModel(tiny, { device: dev });
    const { live } = dev.stats();
    for (const id of [24, -1, -100]) {
      const batch = packBatch([Int32Array.of(1, id)]);
      expect(() => model.logits(batch), String(id)).toThrow(ConfigError);
      expect(() => model.logits(batch)).toThrow(`model: token 1 is ${id}, ids from 0 to 23`);
    }
    const batch = packBatch([[1, 2, 3]]);
    batch.targets[1] = 99;
    expect(() => model.logits(batch)).toThrow("model: target 1 is 99");
    expect(dev.stats().live).toBe(live);
    model.dispose();
  });

  test("a model that doesn't fit", async () => {
    const tight = await device("cpu", { threads: 1, memoryLimitBytes: 100_000 });
    await expect(loadModel(llamaDir, { device: tight })).rejects.toThrow(OutOfMemoryError);
    expect(() => createModel({ ...tiny, num_hidden_layers: 50 }, { device: tight })).toThrow(
      OutOfMemoryError,
    );
    expect(tight.stats().live).toBe(0);
    tight.close();
  });

  test("saving with an adapter attached", async () => {
    const model = createModel(tiny, { device: dev });
    const adapter = attachLora(model);
    const dir = tempDir();
    mkdirSync(path.join(dir, "kept"));
    await expect(saveModel(model, dir)).rejects.toThrow("the model has an adapter attached");
    expect(readdirSync(dir)).toEqual(["kept"]);
    adapter.dispose();
    model.dispose();
  });
});
