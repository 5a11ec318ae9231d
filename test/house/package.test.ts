import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { engineFile, enginePaths } from "../../lib/core/native.ts";
import { runTool } from "../support/run_tool.ts";
import { tempDir } from "../support/temp_dir.ts";

const root = path.resolve(import.meta.dirname, "../..");

interface Packed {
  filename: string;
  files: { path: string }[];
}

/** Packs a copy of the project as `npm publish` would. */
function pack(): { tarball: string; files: string[] } {
  const copy = tempDir();
  for (const name of [
    "README.md",
    "LICENSE",
    "lib",
    "models",
    "native",
    "binding.gyp",
    "package.json",
    "tsconfig.json",
    "tsconfig.build.json",
  ]) {
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  }
  for (const name of ["test", "node_modules"]) symlinkSync(path.join(root, name), path.join(copy, name));
  const npm = (...words: string[]) =>
    runTool("npm", words, { cwd: copy, env: { ...process.env, JOBS: "max" } });
  npm("run", "build:ts");
  if (process.env.CI) {
    npm("run", "binaries:cpu"); // a minute of compiling; elsewhere the engine at hand stands in for what it makes
  } else {
    const [, prebuilt] = enginePaths(copy);
    mkdirSync(path.dirname(prebuilt!), { recursive: true });
    copyFileSync(engineFile(), prebuilt!);
  }
  const [packed] = JSON.parse(npm("pack", "--json", "--ignore-scripts")) as [Packed];
  return { tarball: path.join(copy, packed.filename), files: packed.files.map((file) => file.path) };
}

/** A folder for PATH that holds Node, npm and a shell, and no compiler. */
function pathWithoutCompilers(): string {
  const folder = tempDir();
  for (const tool of ["node", "npm", "npx", "sh"]) {
    const found = runTool("sh", ["-c", `command -v ${tool}`]).trim();
    symlinkSync(realpathSync(found), path.join(folder, tool));
  }
  return folder;
}

test("the packed package installs and computes without a compiler, by import and by require", {
  timeout: 600_000,
}, () => {
  const { tarball, files } = pack();
  expect(files.filter((file) => !/^(dist|models|native|prebuilds)\/|^[\w.]+$/.test(file))).toEqual([]);
  for (const file of ["binding.gyp", "native/sources.gypi", "native/ops/table.h", "dist/index.d.ts"]) {
    expect(files).toContain(file);
  }

  const app = tempDir();
  const env = { ...process.env, PATH: pathWithoutCompilers() };
  const within = (command: string, ...words: string[]) => runTool(command, words, { cwd: app, env });
  writeFileSync(path.join(app, "package.json"), '{ "private": true }');
  within("npm", "install", "--prefer-offline", tarball);

  const use =
    "device('cpu').then(async (d) => { console.log((await d.tensor([1, 2], [2]).data()).join()); d.close(); })";
  const imported = `import { device } from 'mixwright'; ${use}`;
  expect(within("node", "--input-type=module", "--eval", imported)).toBe("1,2\n");
  expect(within("node", "--eval", `const { device } = require('mixwright'); ${use}`)).toBe("1,2\n");
  // The command is there, and the shipped model answers.
  expect(within("npx", "mixwright", "doctor")).toContain("baseline");
  const answer = within(
    "npx",
    "mixwright",
    "generate",
    "--prompt",
    "ship:",
    "--max-new-tokens",
    "8",
    "--temperature",
    "0",
  );
  expect(answer.trim().length).toBeGreaterThan(3);
});

test("every file that package.json names is there", () => {
  const { exports, bin, files } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as {
    exports: Record<".", Record<string, string>>;
    bin: Record<string, string>;
    files: string[];
  };
  const sources = [...Object.values(exports["."]), ...Object.values(bin)].map((file) =>
    file.replace(/^\.\/dist\/(.*?)(\.d)?\.[jt]s$/, "lib/$1.ts"),
  );
  const kept = files.filter((file) => !/^(dist|prebuilds)$/.test(file)); // those two are made by the build
  expect([...sources, ...kept].filter((file) => !existsSync(path.join(root, file)))).toEqual([]);
});
