import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { cudaEnginePaths, enginePaths, loadEngine } from "../../lib/core/native.ts";
import { glibcOf, librariesOf } from "../support/elf.ts";
import { tempDir } from "../support/temp_dir.ts";

const built = [enginePaths()[0]!, cudaEnginePaths()[0]!].filter((file) => existsSync(file));
const possible = process.platform === "linux" && spawnSync("readelf", ["--version"]).status === 0;

describe.runIf(possible)("engines on other Linux systems", () => {
  test.each(built)("%s needs glibc 2.34 at most, and else only what Node needs", (file) => {
    const [major, minor] = glibcOf(file).split(".").map(Number);
    expect([major, minor! <= 34], `GLIBC_${major}.${minor}`).toEqual([2, true]);
    const rest = librariesOf(file).filter(
      (name) => !/^(lib(c|m|dl|rt|pthread|gcc_s)\.so|ld-linux)/.test(name),
    );
    expect(rest).toEqual([]);
  });
});

test("an engine that asks for a newer C library says which one is needed", () => {
  // what the loader of the system says is the error's message
  const file = path.join(tempDir(), "newer.cjs");
  writeFileSync(file, 'throw new Error("libm.so.6: version `GLIBC_2.99\' not found")');
  expect(() => loadEngine([file])).toThrow(
    /GLIBC_2\.99' not found\nThe prebuilt binaries need glibc 2\.34 or newer/,
  );
});
