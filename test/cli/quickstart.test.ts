import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadAdapter } from "../../lib/adapters/peft_format.ts";
import { device } from "../../lib/core/device.ts";
import { loadModel } from "../../lib/models/load.ts";
import { packBatch } from "../../lib/text/token_batch.ts";

const root = path.resolve(import.meta.dirname, "../..");
const out = mkdtempSync(path.join(tmpdir(), "mixwright-quickstart-"));
afterAll(() => rmSync(out, { recursive: true }));

function quickstart(
  dir: string,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = [
    path.join(root, "dist/cli/main.js"),
    "quickstart",
    "--out",
    dir,
    "--pretrain-steps",
    "16",
    ...args,
  ];
  return new Promise((resolve) => {
    execFile(process.execPath, command, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test("a short quickstart leaves a model, a PEFT adapter, a merged model and a report that belong together", {
  timeout: 180_000,
}, async () => {
  const dir = path.join(out, "run");
  const { code, stdout, stderr } = await quickstart(dir, "--finetune-steps", "8");
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toContain("Samples after fine-tuning:");
  expect(stdout).toMatch(/Done in \d+ s/);
  const metrics = readFileSync(path.join(dir, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(metrics.map((m) => m.phase)).toEqual([...Array(16).fill("pretrain"), ...Array(8).fill("dora")]);
  expect(metrics[15].loss).toBeLessThan(metrics[0].loss);
  expect(readFileSync(path.join(dir, "report.html"), "utf8")).toContain("DoRA magnitudes");

  using dev = await device("cpu");
  const batch = packBatch([[5, 300, 1200, 77, 900]]);
  const logitsOf = async (folder: string, adapter?: string) => {
    using model = await loadModel(path.join(dir, folder), { device: dev });
    if (adapter) await loadAdapter(model, path.join(dir, adapter));
    using logits = model.logits(batch);
    return logits.data();
  };
  const [base, adapted, merged] = [
    await logitsOf("model"),
    await logitsOf("model", "adapter"),
    await logitsOf("merged"),
  ];
  const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));
  expect(distance(adapted, merged)).toBeLessThan(1e-3);
  expect(distance(adapted, base)).toBeGreaterThan(0.1);

  // A second run replaces the first; another folder is left alone.
  writeFileSync(path.join(dir, "mine.txt"), "keep");
  const refused = await quickstart(dir);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("mine.txt, which is not of a quickstart");
  expect(existsSync(path.join(dir, "report.html"))).toBe(true);
});
