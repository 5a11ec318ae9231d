import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../lib/core/errors.ts";
import { openTensors } from "../../lib/io/checkpoint_files.ts";
import { writeSafetensors } from "../../lib/io/safetensors.ts";
import { sharedPath } from "../support/shared_data.ts";
import { tempDir } from "../support/temp_dir.ts";

const sharded = sharedPath("oracles/public/mixtral/model");

/** A folder with the given shards (one-byte tensors, value = place in the list) and index file text. */
async function folder(shards: Record<string, string[]>, index?: string): Promise<string> {
  const dir = tempDir();
  for (const [shard, names] of Object.entries(shards)) {
    const entries = names.map((name, i) => {
      return { name, dtype: "U8", shape: [1], bytes: async () => Uint8Array.of(i) } as const;
    });
    await writeSafetensors(path.join(dir, shard), entries, { format: "pt" });
  }
  if (index) writeFileSync(path.join(dir, "model.safetensors.index.json"), index);
  return dir;
}

test("one file, or shards by their index, read the same way", async () => {
  const single = await openTensors(await folder({ "model.safetensors": ["a", "b"] }));
  expect([single.sharded, single.shards, single.metadata]).toEqual([
    false,
    ["model.safetensors"],
    { format: "pt" },
  ]);
  expect(await single.read("b")).toEqual(Uint8Array.of(1));
  await single.close();

  const dir = await folder({ s2: ["a"], s1: ["b", "c"] }, `{"weight_map":{"a":"s2","b":"s1","c":"s1"}}`);
  const files = await openTensors(dir);
  expect([files.sharded, files.shards]).toEqual([true, ["s1", "s2"]]);
  expect(files.tensors.get("a")).toEqual({ dtype: "U8", shape: [1], begin: 0, end: 1, shard: "s2" });
  expect(await files.read("c")).toEqual(Uint8Array.of(1));
  await expect(files.read("d")).rejects.toThrow('no tensor "d" among its 3');
  await files.close();
});

test.skipIf(!sharded)("a sharded model folder", async () => {
  const files = await openTensors(sharded!);
  expect(files.shards.length).toBe(2);
  expect(files.tensors.get("model.embed_tokens.weight")?.shape).toEqual([320, 64]);
  for (const [name, { begin, end }] of files.tensors)
    expect((await files.read(name)).length).toBe(end - begin);
  await files.close();
});

describe("a folder that contradicts itself is refused", () => {
  const cases: [string, Record<string, string[]>, string | undefined, string][] = [
    ["no weights", {}, undefined, "neither model.safetensors nor model.safetensors.index.json is there"],
    [
      "a missing shard",
      { s1: ["a"] },
      `{"weight_map":{"a":"s1","b":"s2"}}`,
      "names s2, which is not in the folder",
    ],
    [
      "a missing tensor",
      { s1: ["a"] },
      `{"weight_map":{"a":"s1","b":"s1"}}`,
      'says that s1 holds "b", it does not',
    ],
    [
      "a tensor in two shards",
      { s1: ["a"], s2: ["a", "b"] },
      `{"weight_map":{"a":"s1","b":"s2"}}`,
      'holds "a", which',
    ],
    [
      "a tensor listed twice",
      { s1: ["a"] },
      `{"weight_map":{"a":"s1","a":"s1"}}`,
      'the key "a" stands twice',
    ],
    ["a way out of the folder", {}, `{"weight_map":{"a":"../s1"}}`, '"a" is in "../s1"'],
    ["an index without a map", {}, `{"metadata":{}}`, 'no object "weight_map"'],
    ["an index that is not JSON", {}, `{`, "not JSON"],
  ];
  test.each(cases)("%s", async (_, shards, index, message) => {
    const error = await openTensors(await folder(shards, index)).catch((e) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
  });

  test("pickled weights, by name", async () => {
    const dir = await folder({});
    writeFileSync(path.join(dir, "pytorch_model.bin"), "");
    await expect(openTensors(dir)).rejects.toThrow("pytorch_model.bin there is a pickle file");
  });
});
