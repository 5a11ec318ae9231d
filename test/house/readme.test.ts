import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { alignmentFiles } from "../support/alignment_files.ts";
import { writeJsonl } from "../support/texts.ts";
import { prose, writeCrawl } from "../support/tiny_crawl.ts";

const root = path.resolve(import.meta.dirname, "../..");
const readme = readFileSync(path.join(root, "README.md"), "utf8");
let app: string;

// A folder where `mixwright` is what was built here, as `npm install` would put it.
beforeAll(() => {
  app = mkdtempSync(path.join(tmpdir(), "mixwright-readme-"));
  mkdirSync(path.join(app, "node_modules"));
  symlinkSync(root, path.join(app, "node_modules/mixwright"));
  writeFileSync(path.join(app, "package.json"), '{ "private": true, "type": "module" }');
});
afterAll(() => rmSync(app, { recursive: true }));

test("the example runs, type-checks, and does what it says", () => {
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme)!;
  writeFileSync(path.join(app, "example.ts"), code!);
  const tsc = path.join(root, "node_modules/.bin/tsc");
  const types = path.join(root, "node_modules/@types");
  const options =
    "--noEmit --strict --skipLibCheck --module nodenext --target es2022 --lib es2023,esnext.disposable".split(
      " ",
    );
  execFileSync(tsc, [...options, "--types", "node", "--typeRoots", types, "example.ts"], {
    cwd: app,
    stdio: "pipe",
  });
  const tsx = path.join(root, "node_modules/tsx/dist/esm/index.mjs");
  const output = execFileSync(process.execPath, ["--import", tsx, "example.ts"], {
    cwd: app,
    encoding: "utf8",
  });
  const [before, ...steps] = output.trimEnd().split("\n");
  const after = steps.pop()!;
  expect(before).toMatch(/^What is a ship\? → \w/);
  expect(before).not.toContain("arr");
  expect(steps.length).toBe(4);
  expect(after).toBe("What is a ship? → arr, a fine vessel with sails");
  expect(existsSync(path.join(app, "pirate/adapter/adapter_config.json"))).toBe(true);
  expect(existsSync(path.join(app, "pirate/model/model.safetensors"))).toBe(true);
});

test("the example of phases and replay runs as written", { timeout: 120_000 }, () => {
  const section = readme.slice(readme.indexOf("## Train on"), readme.indexOf("## Align"));
  const [, code] = /```ts\n([\s\S]*?)```/.exec(section)!;
  for (const name of ["old", "new"])
    writeJsonl(
      path.join(app, `${name}.jsonl`),
      Array.from({ length: 40 }, (_, i) => ({ text: `${name} ${i} ${"words that come again ".repeat(20)}` })),
    );
  writeFileSync(path.join(app, "phases.mjs"), code!);
  const output = execFileSync(process.execPath, ["phases.mjs"], { cwd: app, encoding: "utf8" });
  const lines = output.trimEnd().split("\n");
  expect(lines).toHaveLength(40);
  expect(lines[19]).toMatch(/^20 old 0\.0001/);
  expect(lines[22]).toMatch(/^23 new 0\.001 /);
});

test("the commands of the section on alignment run", { timeout: 180_000 }, () => {
  const section = readme.slice(readme.indexOf("## Align"), readme.indexOf("## Names you know"));
  const [, commands] = /```sh\n([\s\S]*?)```/.exec(section)!;
  const [, module] = /```js\n([\s\S]*?)```/.exec(section)!;
  alignmentFiles(app);
  writeFileSync(path.join(app, "reward.mjs"), module!);
  const main = path.join(root, "dist/cli/main.js");
  const script = commands!
    .replaceAll("npx mixwright", `"${process.execPath}" "${main}"`)
    .replaceAll("--steps 20", "--steps 2 --threads 2");
  const output = execFileSync("bash", ["-ec", script], { cwd: app, encoding: "utf8", stdio: "pipe" });
  expect(output.match(/^saved in .*$/gm)).toHaveLength(6);
  expect(readdirSync(path.join(app, "runs"))).toEqual(["dpo", "grpo", "kto", "ppo", "reward", "rloo"]);
});

test("the study runs as written", { timeout: 180_000 }, () => {
  const [, yaml] = /```yaml\n([\s\S]*?)```/.exec(readme)!;
  writeFileSync(path.join(app, "study.yaml"), yaml!);
  for (const name of ["code.txt", "code_held_out.txt", "glosses.txt"])
    writeFileSync(path.join(app, name), `${name}: a thing that is written down for others to read.`);
  const main = path.join(root, "dist/cli/main.js");
  const asWritten = ["study", "--config", "study.yaml", "--out", "study", "--json"];
  // All of the grid, each run cut short.
  const short = "--steps 1 --points 1 --seeds 0 --batch-tokens 64 --largest-spectrum 0".split(" ");
  const output = execFileSync(process.execPath, [main, ...asWritten, ...short], {
    cwd: app,
    encoding: "utf8",
  });
  const rows = output.trimEnd().split("\n");
  expect(rows).toHaveLength(2 + 2 * 2 * 2 + 2);
  for (const row of rows) expect(JSON.parse(row)).toMatchObject({ status: "done" });
  expect(existsSync(path.join(app, "study/report.html"))).toBe(true);
});

test("the section on web text runs as written", { timeout: 300_000 }, () => {
  const section = readme.slice(readme.indexOf("## Web text"), readme.indexOf("## Papers"));
  const blocks = (kind: string): string[] =>
    [...section.matchAll(new RegExp(`\`\`\`${kind}\\n([\\s\\S]*?)\`\`\``, "g"))].map(([, text]) => text!);
  const [commands] = blocks("sh");
  const [pipelineFile, ablationFile] = blocks("yaml");
  const [code] = blocks("ts");
  const dir = path.join(app, "web");
  mkdirSync(dir);
  writeCrawl(path.join(dir, "crawl"), 2, 40);
  writeFileSync(path.join(dir, "pipeline.yaml"), pipelineFile!);
  writeFileSync(path.join(dir, "ablation.yaml"), ablationFile!);
  writeFileSync(
    path.join(dir, "my_step.mjs"),
    `import { step } from "mixwright";
     export default (options) => step.filter("my.step", options, ({ text }) =>
       text.includes("captain") ? { keep: true } : { keep: false, reason: "no captain" });`,
  );
  const held = prose(new Random(9), 4).map((text) => ({ text }));
  writeJsonl(path.join(dir, "held_out.jsonl"), held);
  const script = commands!
    .replaceAll("npx mixwright", `"${process.execPath}" "${path.join(root, "dist/cli/main.js")}"`)
    .replace("--vocab-size 8192", "--vocab-size 400") // as much as the little text has
    .replaceAll("--workers 8", "--workers 2");
  execFileSync("bash", ["-ec", script], { cwd: dir, encoding: "utf8", stdio: "pipe" });
  for (const made of ["fineweb/text/en", "fineweb/report.html", "tokenizer/tokenizer.json", "report.html"])
    expect(existsSync(path.join(dir, made)), made).toBe(true);
  for (const made of ["deduped/matches", "out/rejected", "ablation/ablation/report.html"])
    expect(existsSync(path.join(dir, made)), made).toBe(true);
  writeFileSync(path.join(dir, "code.mjs"), code!);
  const output = execFileSync(process.execPath, ["code.mjs"], { cwd: dir, encoding: "utf8" });
  expect(output).toMatch(/^80 \d+ \{.*http_status: 8/); // eight pages of 80 are not there
});

test("every name in the table of names is exported", () => {
  const index = readFileSync(path.join(root, "lib/index.ts"), "utf8");
  const table = readme.slice(readme.indexOf("## Names you know"), readme.indexOf("## Memory and time"));
  const ours = [...table.matchAll(/^\|.*?\| (.*) \|$/gm)].flatMap(([, cell]) => [
    ...cell!.matchAll(/(?<![.\w])([a-z]\w+)\(/g),
  ]);
  const names = [...new Set(ours.map(([, name]) => name!))];
  expect(names.length).toBeGreaterThan(15);
  for (const name of names) expect(index, name).toMatch(new RegExp(`\\b${name}\\b`));
});
