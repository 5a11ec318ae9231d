import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { DeviceError } from "../../lib/core/errors.ts";
import { engineFile, enginePaths, loadEngine } from "../../lib/core/native.ts";
import { tempDir } from "../support/temp_dir.ts";

/** A package folder whose build and prebuilt binary are a working engine, a broken file, or not there. */
function packageWith(
  build: "engine" | "broken" | "absent",
  prebuilt: "engine" | "broken" | "absent",
): string[] {
  const paths = enginePaths(tempDir());
  [build, prebuilt].forEach((state, i) => {
    const file = paths[i]!;
    mkdirSync(path.dirname(file), { recursive: true });
    if (state === "engine") copyFileSync(engineFile(), file);
    if (state === "broken") writeFileSync(file, "not a library");
  });
  return paths;
}

test("a local build wins over the prebuilt binary", () => {
  const paths = packageWith("engine", "engine");
  const { file, binding } = loadEngine(paths);
  expect(file).toBe(paths[0]);
  expect(binding.usableIsas()).toContain("baseline");
});

test.each(["absent", "broken"] as const)("the prebuilt binary is used where the build is %s", (build) => {
  const paths = packageWith(build, "engine");
  expect(loadEngine(paths).file).toBe(paths[1]);
});

test("without an engine the error names every path, why it failed, and the way out", () => {
  const paths = packageWith("broken", "absent");
  const attempt = () => loadEngine(paths);
  expect(attempt).toThrow(DeviceError);
  expect(attempt).toThrow(`${process.platform}-${process.arch}, Node ${process.version}`);
  expect(attempt).toThrow(new RegExp(`^ {2}${paths[0]}: .*(invalid ELF header|file too short|not a)`, "m"));
  expect(attempt).toThrow(new RegExp(`^ {2}${paths[1]}: Cannot find module`, "m"));
  expect(attempt).toThrow("npx node-gyp rebuild --directory");
});
