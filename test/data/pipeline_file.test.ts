import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { readPipelineFile } from "../../lib/data/pipeline_file.ts";
import { stepNames } from "../../lib/data/registry.ts";
import { tempDir } from "../support/temp_dir.ts";

function written(text: string): string {
  const file = path.join(tempDir(), "p.yaml");
  writeFileSync(file, text);
  return file;
}

const good = `tasks: 4
state: s
steps:
  - read.text: { files: ["a.txt", "b.txt"] }
  - read.jsonl:
      files: in/*.jsonl
  - write.jsonl: { dir: out, compression: none }
`;

test("steps are made of their names and options, in order", async () => {
  const { steps, settings } = await readPipelineFile(written(good));
  expect(settings).toEqual({ tasks: 4, state: "s" });
  expect(steps.map(({ description }) => description)).toEqual([
    { step: "read.text", options: { files: ["a.txt", "b.txt"] } },
    { step: "read.jsonl", options: { files: "in/*.jsonl" } },
    { step: "write.jsonl", options: { dir: "out", compression: "none" } },
  ]);
});

test.each([
  ["compression", "compresion", '7: write.jsonl: unknown option "compresion", is it compression?'],
  ["read.jsonl", "read.json", '5: unknown step "read.json", is it read.jsonl?'],
  ["tasks:", "task:", '1: unknown key "task", is it tasks?'],
  ["tasks: 4", "tasks: four", '1: tasks is "four", a number was needed'],
  ["none", "lz", '7: write.jsonl: compression is "lz", one of none, gzip, zstd was needed'],
  ["{ files", "{{ files", "5: Flow map"],
  ["files: in", "file: in", '6: read.jsonl: unknown option "file", is it files?'],
  ["in/*.jsonl", "3", "6: read.jsonl: files is 3, a path was needed"],
  ["- read.text", "- - read.text", "4: a step is a name, or one name with its options below it"],
  [
    "{ dir: out, compression: none }",
    "out",
    '7: write.jsonl has "out" for options, names with values were needed',
  ],
])("%s written as %s is refused with the line", async (right, wrong, message) => {
  const file = written(good.replace(right, wrong));
  const thrown = await readPipelineFile(file).then(
    () => expect.fail("it was read"),
    (error: Error) => error,
  );
  expect(thrown instanceof ConfigError || thrown instanceof FormatError).toBe(true);
  expect(thrown.message).toContain(`${file}:${message}`);
});

test("a file without steps is refused", async () => {
  await expect(readPipelineFile(written("tasks: 1\n"))).rejects.toThrow(
    'no "steps", a list of steps was needed',
  );
  await expect(readPipelineFile(written(""))).rejects.toThrow('a list "steps" was needed');
});

test("every step of the registry says what options it takes", async () => {
  for (const name of stepNames().filter((step) => step !== "step.module")) {
    const file = written(`steps:\n  - ${name}: { files: x, dir: x, tokenizer: x, noSuchOption: 1 }\n`);
    await expect(readPipelineFile(file), name).rejects.toThrow(/:2: .*unknown option/);
  }
});
