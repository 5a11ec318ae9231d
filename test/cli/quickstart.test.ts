import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
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

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the built command; `interrupt`: until its first step is shown. */
function quickstart(dir: string, flags: readonly string[], { interrupt = false } = {}): Promise<Ended> {
  const command = [path.join(root, "dist/cli/main.js"), "quickstart", "--out", dir, ...flags];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, command, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    let sent = !interrupt;
    child.stdout!.on("data", (text: string) => {
      if (!sent && text.includes("step 1/")) sent = child.kill("SIGINT");
    });
  });
}

test("a short quickstart leaves a model, a PEFT adapter, a merged model and a report that belong together", {
  timeout: 180_000,
}, async () => {
  const dir = path.join(out, "run");
  const { code, stdout, stderr } = await quickstart(dir, ["--pretrain-steps", "16", "--finetune-steps", "8"]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toContain("Samples after fine-tuning:");
  expect(stdout).toMatch(/Done in \d+ s/);
  expect(stdout).toContain("node dist/cli/main.js generate --model"); // npx doesn't know a clone
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

  // Whatever else lies in the folder is not ours to remove, and nothing tells a folder without the marker from one's own.
  writeFileSync(path.join(dir, "mine.txt"), "keep");
  const refused = await quickstart(dir, []);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(
    "holds mine.txt, an empty folder or one of an earlier quickstart was needed",
  );
  const other = path.join(out, "other");
  mkdirSync(path.join(other, "model"), { recursive: true });
  expect((await quickstart(other, [])).stderr).toContain("holds model");
  expect(existsSync(path.join(other, "model"))).toBe(true);

  // Ctrl-C leaves the finished run, and nothing beside it.
  rmSync(path.join(dir, "mine.txt"));
  const stopped = await quickstart(dir, ["--pretrain-steps", "100000"], { interrupt: true });
  expect(stopped.code).toBe(130);
  expect(stopped.stderr).toContain("is as it was");
  expect(existsSync(path.join(dir, "report.html"))).toBe(true);
  expect(readdirSync(out).sort()).toEqual(["other", "run"]);
});
