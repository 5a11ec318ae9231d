import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { blasPrograms, startBlas } from "../../bench/peers/blas.ts";

const { programs, notes } = await blasPrograms("avx2");

test("a library that isn't there is skipped with a note", () => {
  const built = programs.map(({ name }) => name);
  for (const name of ["OpenBLAS", "BLIS", "oneDNN"]) {
    expect(
      built.includes(name) || notes.some((note) => note.includes(name) && note.includes("skipped")),
    ).toBe(true);
  }
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

test.for([
  [false, false],
  [false, true],
  [true, false],
])(
  "every program multiplies small whole numbers exactly, transposed: %s",
  async ([transA, transB], { skip }) => {
    if (programs.length === 0) skip(notes.join("; "));
    const folder = await mkdtemp(path.join(os.tmpdir(), "mixwright-blas-"));
    await writeFile(path.join(folder, "a"), a);
    await writeFile(path.join(folder, "b"), b);
    const products = { m, n, k, count, transA, transB, a: path.join(folder, "a"), b: path.join(folder, "b") };
    try {
      for (const program of programs) {
        const child = startBlas(program);
        const { version } = await child.ask<{ version: string }>({});
        expect(version).toMatch(program.name);
        const { check } = await child.ask<{ check: number[] }>({ make: "small", ...products });
        expect(check).toEqual(exactCheck(transA!, transB!));
        const { seconds } = await child.ask<{ seconds: number }>({ time: "small", threads: 2, calls: 3 });
        expect(seconds).toBeGreaterThan(0);
        await child.ask({ drop: "small" });
        await expect(child.ask({ time: "small", threads: 1, calls: 1 })).rejects.toThrow();
        await child.end();
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);
