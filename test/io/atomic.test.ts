import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { writeFileAtomically, writeFolderAtomically, writeFully } from "../../lib/io/atomic.ts";
import { tempDir } from "../support/temp_dir.ts";

const noSpace = Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });

test("a file is replaced as a whole, or not at all", async () => {
  const dir = tempDir();
  const file = path.join(dir, "a");
  await writeFileAtomically(file, (handle) => writeFully(handle, Buffer.from("one")));
  const failing = writeFileAtomically(file, async (handle) => {
    await writeFully(handle, Buffer.from("tw"));
    expect(readFileSync(file, "utf8")).toBe("one");
    throw noSpace;
  });
  await expect(failing).rejects.toBe(noSpace);
  expect(readFileSync(file, "utf8")).toBe("one");
  expect(readdirSync(dir)).toEqual(["a"]);
});

test("a folder appears as a whole, subfolders included, also over an empty one", async () => {
  const dir = path.join(tempDir(), "deep", "model");
  const write = async (temporary: string) => {
    mkdirSync(path.join(temporary, "sub"));
    await writeFile(path.join(temporary, "a"), "1");
    await writeFile(path.join(temporary, "sub", "b"), "2");
  };
  await writeFolderAtomically(dir, write);
  expect(readFileSync(path.join(dir, "sub", "b"), "utf8")).toBe("2");
  const empty = tempDir();
  await writeFolderAtomically(empty, write);
  expect(readdirSync(empty).sort()).toEqual(["a", "sub"]);
  await writeFolderAtomically(empty, write);
  expect(readdirSync(path.dirname(dir))).toEqual(["model"]);
});

test("a folder with files keeps what is neither new nor obsolete", async () => {
  const dir = tempDir();
  for (const name of ["README.md", "model.safetensors.index.json", "config.json"]) {
    writeFileSync(path.join(dir, name), "old");
  }
  const write = async (temporary: string) => {
    await writeFile(path.join(temporary, "config.json"), "new");
    await writeFile(path.join(temporary, "model.safetensors"), "new");
  };
  await writeFolderAtomically(dir, write, (name) => name.startsWith("model"));
  expect(readdirSync(dir).sort()).toEqual(["README.md", "config.json", "model.safetensors"]);
  expect(readFileSync(path.join(dir, "config.json"), "utf8")).toBe("new");
});

test("a failure leaves the old folder and nothing beside it", async () => {
  const parent = tempDir();
  const dir = path.join(parent, "model");
  await writeFolderAtomically(dir, (temporary) => writeFile(path.join(temporary, "a"), "old"));
  const failing = writeFolderAtomically(dir, async (temporary) => {
    await writeFile(path.join(temporary, "a"), "half");
    throw noSpace;
  });
  await expect(failing).rejects.toBe(noSpace);
  expect(readFileSync(path.join(dir, "a"), "utf8")).toBe("old");
  expect(readdirSync(parent)).toEqual(["model"]);
});
