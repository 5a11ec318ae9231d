import path from "node:path";
import { expect, test } from "vitest";
import { runTool } from "../../support/run_tool.ts";
import { tempDir } from "../../support/temp_dir.ts";

const child = path.resolve(import.meta.dirname, "../../support/minhash_memory_child.ts");

test("ten times the documents take no more memory: signatures beyond the bound are sorted on disk", {
  timeout: 300_000,
}, () => {
  const dir = tempDir();
  const peakMB = (documents: number) =>
    Number(runTool(process.execPath, ["--import", "tsx", child, dir, String(documents)]));
  const few = peakMB(800); // 10 MB of signatures
  const many = peakMB(8000); // 102 MB
  expect(many - few).toBeLessThan(50);
});
