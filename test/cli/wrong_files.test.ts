import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it, test } from "vitest";
import { systemMessage, withPath } from "../../lib/io/system_error.ts";
import { mixwright, tinyModel, works } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeTexts } from "../support/texts.ts";

const model = tinyModel("llama");

test("errors of the system in words, with the path", () => {
  const system = (code: string, file?: string) =>
    Object.assign(new Error(`${code}: as the system says, write`), {
      code,
      syscall: "write",
      ...(file && { path: file }),
    });
  expect(systemMessage(system("ENOSPC", "/a"))).toBe("/a: the disk is full");
  expect(systemMessage(system("EROFS", "/a"))).toBe("/a: the disk can only be read");
  expect(systemMessage(system("EACCES", "/a"))).toBe("/a: access is denied");
  expect(systemMessage(withPath(system("EIO"), "/b") as NodeJS.ErrnoException)).toBe(
    "/b: EIO: as the system says",
  );
});

describe("one line names what is wrong with", () => {
  const data = (name: string) => ["eval", "--model", model, "--data", name];
  const cases: [what: string, args: (dir: string) => string[], message: RegExp][] = [
    ["missing data", (dir) => data(`${dir}/nope.txt`), /nope\.txt: there is no such file or folder$/],
    ["a missing token file", (dir) => data(`${dir}/nope.ds`), /nope\.ds: there is no such file or folder$/],
    ["data of no kind", () => data("nope"), /nope ends in none of \.jsonl/],
    [
      "a folder as data",
      (dir) => data(`${dir}/folder.jsonl`),
      /openCorpus: \S+folder\.jsonl holds no token file/,
    ],
    ["a missing folder", (dir) => ["info", `${dir}/nope`], /nope: there is no such file or folder$/],
    ["a file as folder", (dir) => ["info", `${dir}/file`], /file: it, or what it lies in, is a file; a fol/],
    [
      "a missing model",
      (dir) => ["generate", "--model", `${dir}/nope`, "--prompt", "a"],
      /loadTokenizer: there is no folder \S+nope, a folder with a tokenizer\.json was needed/,
    ],
    [
      "a file as model",
      (dir) => ["generate", "--model", `${dir}/file`, "--prompt", "a"],
      /loadTokenizer: \S+file is a file, a folder with a tokenizer\.json was needed/,
    ],
    [
      "a model without tokenizer",
      (dir) => ["generate", "--model", `${dir}/folder.jsonl`, "--prompt", "a"],
      /loadTokenizer: \S+ has no tokenizer\.json\.$/,
    ],
    [
      "a result below a file",
      (dir) => ["tokenize", "--model", model, "--data", `${dir}/d.jsonl`, "--out", `${dir}/file/d.ds`],
      /file: (it, or what it lies in, is a file|a file of that name is there already)/,
    ],
    [
      "a run in a file",
      (dir) => [
        "pretrain",
        "--model",
        model,
        "--data",
        `${dir}/d.jsonl`,
        "--steps",
        "1",
        "--out",
        `${dir}/file`,
      ],
      /file: it, or what it lies in, is a file/,
    ],
  ];
  it.each(cases)("%s", async (_, args, message) => {
    const dir = tempDir();
    mkdirSync(path.join(dir, "folder.jsonl"));
    writeFileSync(path.join(dir, "file"), "");
    writeTexts(path.join(dir, "d.jsonl"), 1);
    const { code, stderr } = await mixwright(args(dir));
    expect(stderr.trimEnd()).toMatch(message);
    expect(stderr).not.toMatch(/ENO|EISDIR|EEXIST/);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(code).toBe(1);
  });
});

describe("text without content", () => {
  it("is an error for eval and tokenize", async () => {
    const empty = path.join(tempDir(), "empty.txt");
    writeFileSync(empty, "\n");
    const evaluated = await mixwright(["eval", "--model", model, "--data", empty]);
    expect(evaluated.stderr).toMatch(/0 bytes of text with 0 tokens to predict/);
    expect(evaluated.code).toBe(1);
    const out = `${empty}.ds`;
    const tokenized = await mixwright(["tokenize", "--model", model, "--data", empty, "--out", out]);
    expect(tokenized.stderr).toBe(
      `mixwright: tokenize: ${empty} holds no document, at least one was needed\n`,
    );
    expect(tokenized.code).toBe(1);
  });
});

test("eval doesn't depend on --batch-tokens, and help says where texts are cut", async () => {
  const data = writeTexts(path.join(tempDir(), "d.jsonl"), 12);
  const losses: number[] = [];
  for (const tokens of ["5", "100", "4096"]) {
    const args = ["eval", "--model", model, "--data", data, "--batch-tokens", tokens, "--json"];
    losses.push(JSON.parse(await works(args)).loss);
  }
  for (const loss of losses) expect(loss).toBeCloseTo(losses[0]!, 5);
  expect((await works(["eval", "--help"])).replaceAll(/\s+/g, " ")).toMatch(
    /one document.* cut at the model's context only/,
  );
});
