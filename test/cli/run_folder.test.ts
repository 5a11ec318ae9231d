import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { mixwright, tinyModel, works } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeTexts } from "../support/texts.ts";

const model = tinyModel("llama");

function newRun(...more: string[]) {
  const dir = tempDir();
  const data = writeTexts(path.join(dir, "data.jsonl"));
  const out = path.join(dir, "out");
  const args = ["pretrain", "--model", model, "--data", data, "--out", out, "--batch-tokens", "64", ...more];
  return { dir, data, out, args, lock: path.join(out, "run.lock") };
}

describe("the lock of a run's folder", () => {
  it("keeps a second run out, and goes with Ctrl-C", async () => {
    const { args, out, lock } = newRun("--steps", "2000", "--json");
    let second: ReturnType<typeof mixwright> | undefined;
    let pid: number | undefined;
    const first = await mixwright(args, {
      onLine: (line, child) => {
        if (!line.startsWith('{"step":2,')) return;
        pid = child.pid;
        second = mixwright(["pretrain", "--resume", "--out", out]);
        second.finally(() => child.kill("SIGINT"));
      },
    });
    const { code, stderr } = await second!;
    expect(stderr).toContain(`pretrain: process ${pid} is at work in ${out}. Wait for its end`);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(code).toBe(1);
    expect(first.code).toBe(130);
    expect(existsSync(lock)).toBe(false);
  });

  it("of a process that is gone is passed over", async () => {
    const { args, out, lock } = newRun("--steps", "1");
    mkdirSync(out);
    writeFileSync(lock, "4194304\n"); // above the largest pid
    await works(args);
    expect(existsSync(lock)).toBe(false);
  });

  it("leaves no folder behind where nothing ran", async () => {
    const { args, out } = newRun("--steps", "1", "--min-lr", "1");
    expect((await mixwright(args)).code).toBe(2);
    expect(existsSync(out)).toBe(false);
  });
});

describe("resume", () => {
  it("refuses data whose content changed", async () => {
    const { args, out, data } = newRun("--steps", "1");
    await works(args);
    const text = readFileSync(data, "utf8");
    writeFileSync(data, text.replace("quick", "brown"));
    const { code, stderr } = await mixwright(["pretrain", "--resume", "--out", out]);
    expect(stderr).toContain(`the content of ${data} is not what it was when the run in ${out} was started`);
    expect(code).toBe(1);
    writeFileSync(data, text);
    await works(["pretrain", "--resume", "--out", out]);
  });

  it("sees another index of a token file", async () => {
    const { args, dir, data, out } = newRun("--steps", "1");
    const file = path.join(dir, "d.ds");
    await works(["tokenize", "--model", model, "--data", data, "--out", file]);
    await works(args.map((arg) => (arg === data ? file : arg)));
    rmSync(`${file}.json`);
    appendFileSync(`${file}.index`, readFileSync(`${file}.index`).subarray(-8));
    const { stderr } = await mixwright(["pretrain", "--resume", "--out", out]);
    expect(stderr).toContain(`the content of ${file} is not what it was`);
  });

  it("may be the first start, with all settings given", async () => {
    const { args, out } = newRun("--steps", "2", "--resume");
    await works(args);
    expect(existsSync(path.join(out, "model.safetensors"))).toBe(true);
    await works(args); // a finished run has nothing left to do
  });

  it("says where there is no run", async () => {
    const { code, stderr } = await mixwright(["pretrain", "--resume", "--out", "nothere"]);
    expect(stderr).toBe("mixwright: --resume: there is no run in nothere to go on with\n");
    expect(code).toBe(2);
    expect(existsSync("nothere")).toBe(false);
  });
});

describe("validation", () => {
  it("without a token is refused, of text and of a token file", async () => {
    const { args, dir, out } = newRun("--steps", "1");
    const empty = path.join(dir, "empty.jsonl");
    writeFileSync(empty, "");
    const tokens = path.join(dir, "empty.ds");
    writeFileSync(tokens, "");
    writeFileSync(`${tokens}.index`, "");
    for (const file of [empty, tokens]) {
      const { code, stderr } = await mixwright([...args, "--validation", file]);
      expect(stderr).toBe(`mixwright: --validation ${file}: it holds no token to predict\n`);
      expect(code).toBe(1);
      expect(existsSync(out)).toBe(false);
    }
  });

  it("has its rhythm only with its file", async () => {
    const { args } = newRun("--steps", "1", "--validate-every", "1");
    const { code, stderr } = await mixwright(args);
    expect(stderr).toMatch(/pretrain: --validate-every is given without --validation/);
    expect(code).toBe(2);
  });
});
