import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { blasNames, startBlas } from "../../bench/peers/blas.ts";

const { peers, notes } = await startBlas({ ONEDNN_MAX_CPU_ISA: "AVX2" });
afterAll(() => Promise.all(peers.map((peer) => peer.end())));

test("a library that isn't there is skipped with a note", () => {
  const built = peers.map(({ name }) => name);
  const skipped = blasNames.filter((name) =>
    notes.some((note) => note.includes(name) && note.includes("skipped")),
  );
  expect([...built, ...skipped].sort()).toEqual([...blasNames].sort());
});

const [m, n, k, count] = [3, 5, 4, 2];
const numbers = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => ((i * seed) % 11) - 5);
const a = numbers(count * m * k, 7);
const b = numbers(count * k * n, 3);

/** Sum of squares, and sum of elements times 1 … 7 in turns. */
function exactCheck(transA: boolean, transB: boolean): number[] {
  let [square, weighted] = [0, 0];
  for (let at = 0; at < count * m * n; at++) {
    const [e, i, j] = [Math.floor(at / (m * n)), Math.floor((at % (m * n)) / n), at % n];
    let c = 0;
    for (let l = 0; l < k; l++) {
      const left = a[e * m * k + (transA ? l * m + i : i * k + l)]!;
      c += left * b[e * k * n + (transB ? j * k + l : l * n + j)]!;
    }
    square += c * c;
    weighted += c * (1 + (at % 7));
  }
  return [square, weighted];
}

test("every program multiplies small whole numbers exactly, with its own library", async ({ skip }) => {
  if (peers.length === 0) skip(notes.join("; "));
  const folder = await mkdtemp(path.join(os.tmpdir(), "mixwright-blas-"));
  const inputOf = (name: string) => ({ file: path.join(folder, name), shape: [], dtype: "f32" as const });
  const inputs = { a: inputOf("a"), b: inputOf("b") };
  await writeFile(inputs.a.file, a);
  await writeFile(inputs.b.file, b);
  try {
    for (const peer of peers) {
      const { version } = await peer.ask<{ version: string }>({});
      expect(version).toMatch(new RegExp(`^${peer.name} [0-9]`));
      for (const [transA, transB] of [
        [false, false],
        [false, true],
        [true, false],
      ] as const) {
        const check = await peer.make("small", "products", inputs, { m, n, k, count, transA, transB });
        expect(check).toEqual(exactCheck(transA, transB));
      }
      const { seconds, cpuSeconds } = await peer.time("small", 2, 3);
      expect(Math.min(seconds, cpuSeconds)).toBeGreaterThan(0);
      await peer.drop("small");
      await expect(peer.time("small", 1, 1)).rejects.toThrow();
      await expect(
        peer.make("none", "products", { a: inputOf("none"), b: inputs.b }, { m, n, k, count }),
      ).rejects.toThrow("cannot read");
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
