import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../lib/core/errors.ts";
import { openSafetensors, type SafetensorsDType, writeSafetensors } from "../../lib/io/safetensors.ts";
import { sharedPath } from "../support/shared_data.ts";
import { tempDir } from "../support/temp_dir.ts";

const hfTiny = sharedPath("data/fixtures/hf-tiny/mixtral/model.safetensors");

function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** A file with the given header text and number of data bytes. */
function craft(header: string, dataBytes: number, length = Buffer.byteLength(header)): string {
  const file = path.join(tempDir(), "a.safetensors");
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length));
  writeFileSync(file, Buffer.concat([prefix, Buffer.from(header), Buffer.alloc(dataBytes)]));
  return file;
}

describe("what is written is read back", () => {
  test("names, dtypes, shapes, metadata, bytes; scalars and empty tensors too", async () => {
    const file = path.join(tempDir(), "x", "a.safetensors");
    const entries = [
      { name: "scalar", dtype: "F32", shape: [], bytes: async () => floats(3) },
      { name: "empty", dtype: "BF16", shape: [0, 7], bytes: async () => new Uint8Array() },
      { name: 'ein "Wort" ü', dtype: "F32", shape: [2, 1], bytes: async () => floats(1, 2) },
      { name: "__proto__", dtype: "I64", shape: [1], bytes: async () => new Uint8Array(8).fill(9) },
    ] as const;
    await writeSafetensors(file, entries, { format: "pt" });
    const opened = await openSafetensors(file);
    expect(opened.metadata).toEqual({ format: "pt" });
    expect([...opened.tensors.keys()]).toEqual(["__proto__", 'ein "Wort" ü', "scalar", "empty"]);
    expect(opened.tensors.get("scalar")).toEqual({ dtype: "F32", shape: [], begin: 16, end: 20 });
    expect(new Float32Array((await opened.read('ein "Wort" ü')).buffer)).toEqual(Float32Array.of(1, 2));
    expect(await opened.read("empty")).toEqual(new Uint8Array());
    await expect(opened.read("absent")).rejects.toThrow(`${file}: no tensor "absent" among its 4.`);
    await opened.close();
  });

  test("the bytes do not depend on the order of the entries, and the header ends on a multiple of 8", async () => {
    const dir = tempDir();
    const names = fc.uniqueArray(fc.string({ unit: "grapheme", minLength: 1 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(names, async (all) => {
        const entries = all.map((name, i) => {
          const dtype: SafetensorsDType = i % 2 === 0 ? "F32" : "BF16";
          return {
            name,
            dtype,
            shape: [i],
            bytes: async () => new Uint8Array(dtype === "F32" ? 4 * i : 2 * i).fill(i),
          };
        });
        await writeSafetensors(path.join(dir, "a"), entries);
        await writeSafetensors(path.join(dir, "b"), [...entries].reverse());
        const bytes = readFileSync(path.join(dir, "a"));
        expect(readFileSync(path.join(dir, "b"))).toEqual(bytes);
        expect(Number(bytes.readBigUInt64LE()) % 8).toBe(0);
        const opened = await openSafetensors(path.join(dir, "a"));
        expect([...opened.tensors.keys()].sort()).toEqual([...all].sort());
        await opened.close();
      }),
      { numRuns: 30 },
    );
  });

  test.skipIf(!hfTiny)("a file of Hugging Face's writer comes out byte for byte", async () => {
    const opened = await openSafetensors(hfTiny!);
    const copy = path.join(tempDir(), "copy");
    const entries = [...opened.tensors].map(([name, { dtype, shape }]) => {
      return { name, dtype, shape, bytes: () => opened.read(name) };
    });
    await writeSafetensors(copy, entries, opened.metadata);
    await opened.close();
    expect(readFileSync(copy).equals(readFileSync(hfTiny!))).toBe(true);
  });
});

describe("a file that breaks the format is refused by the fact", () => {
  const f32 = (begin: number, end: number, shape = "[1]") =>
    `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;
  const cases: [string, string, number, string][] = [
    ["no JSON", "{oops", 0, "header: not JSON"],
    ["no object", "[1]", 0, "the header is no JSON object"],
    ["a name twice", `{"a":${f32(0, 4)},"\\u0061":${f32(0, 4)}}`, 4, 'the key "a" stands twice'],
    ["an overlap", `{"a":${f32(0, 4)},"b":${f32(2, 6)}}`, 6, '"b" begins at byte 2 and overlaps'],
    ["a hole", `{"a":${f32(0, 4)},"b":${f32(8, 12)}}`, 12, '"b" begins at byte 8 and leaves a hole'],
    ["a late first tensor", `{"a":${f32(4, 8)}}`, 8, '"a" begins at byte 4 and leaves a hole'],
    ["bytes unlike the shape", `{"a":${f32(0, 8)}}`, 8, '"a" takes 8 bytes, F32 [1] needs 4'],
    ["half bytes", `{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1, "F4 [3] needs 1.5"],
    ["a negative size", `{"a":${f32(0, 4, "[-1]")}}`, 4, '"a" has shape [-1]'],
    ["a broken size", `{"a":${f32(0, 4, "[1.5]")}}`, 4, '"a" has shape [1.5]'],
    ["a huge size", `{"a":${f32(0, 4, "[1e300]")}}`, 4, '"a" has shape [1e+300]'],
    ["an unknown dtype", `{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}}`, 4, 'has dtype "Q4"'],
    [
      "a dtype named like a method",
      `{"a":{"dtype":"toString","shape":[1],"data_offsets":[0,4]}}`,
      4,
      "has dtype",
    ],
    ["backward offsets", `{"a":${f32(4, 0)}}`, 4, '"a" has data_offsets [4,0]'],
    ["no entry", `{"a":3}`, 0, '"a" is described by 3'],
    ["metadata of numbers", `{"__metadata__":{"a":1}}`, 0, "__metadata__ maps names to strings"],
    ["missing data", `{"a":${f32(0, 4)}}`, 3, "truncated, 1 of 4 data bytes are missing"],
    ["trailing bytes", `{"a":${f32(0, 4)}}`, 6, "2 bytes follow the last tensor"],
    ["a byte order mark", `\ufeff{}`, 0, "not JSON"],
  ];
  test.each(cases)("%s", async (_, header, dataBytes, message) => {
    const error = await openSafetensors(craft(header, dataBytes)).catch((e) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
    expect(error.message).toContain(error.file);
  });

  test("a header length past the end, past the limit, or not even there", async () => {
    await expect(openSafetensors(craft("{}", 0, 3))).rejects.toThrow(
      "the header ends at byte 11, the file at 10",
    );
    await expect(openSafetensors(craft("{}", 0, 2 ** 40))).rejects.toThrow("reads 1099511627776 bytes");
    const short = path.join(tempDir(), "short");
    writeFileSync(short, "abc");
    await expect(openSafetensors(short)).rejects.toThrow("3 bytes, a safetensors file has at least 8");
  });

  test("a file cut while it is open", async () => {
    const file = craft(`{"a":${f32(0, 4)}}`, 4);
    const opened = await openSafetensors(file);
    writeFileSync(file, "");
    await expect(opened.read("a")).rejects.toThrow("while being read");
    await opened.close();
  });

  test("any flipped header byte either fails as FormatError or leaves every range inside the file", async () => {
    const good = readFileSync(craft(`{"a":${f32(0, 4)},"b":${f32(4, 12, "[2]")}}`, 12));
    const file = path.join(tempDir(), "flipped");
    for (let i = 0; i < good.length - 12; i++) {
      const bad = Buffer.from(good);
      bad[i]! ^= 1 << (i % 8);
      writeFileSync(file, bad);
      const opened = await openSafetensors(file).catch((e) => e);
      if (opened instanceof FormatError) continue;
      for (const name of opened.tensors.keys()) await opened.read(name);
      await opened.close();
    }
  });
});

test("writing refuses wrong sizes and repeated names, and leaves the old file", async () => {
  const file = path.join(tempDir(), "a");
  writeFileSync(file, "old");
  const entry = { name: "w", dtype: "F32", shape: [2], bytes: async () => floats(1) } as const;
  await expect(writeSafetensors(file, [entry])).rejects.toThrow('"w" came as 4 bytes, F32 [2] takes 8');
  await expect(writeSafetensors(file, [entry, { ...entry, dtype: "BF16" }])).rejects.toThrow(
    'two entries named "w"',
  );
  expect(readFileSync(file, "utf8")).toBe("old");
});
