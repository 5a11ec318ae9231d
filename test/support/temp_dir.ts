import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";

/** A new folder that goes away with the running test. */
export function tempDir(): string {
  const dir = mkdtempSync(path.join(tmpdir(), "mixwright-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
