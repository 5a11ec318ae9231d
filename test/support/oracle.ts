import { readFileSync } from "node:fs";
import path from "node:path";
import { expect } from "vitest";
import type { Tensor } from "../../lib/core/tensor.ts";

/** A tensor as the reference files give it: its norm, and Σ tᵢ·cos(0.1·i + 0.3) over the flattened values. */
export interface Summary {
  norm: number;
  proj: number;
}

export function summarize(values: ArrayLike<number>): Summary {
  let squares = 0;
  let proj = 0;
  for (let i = 0; i < values.length; i++) {
    squares += values[i]! ** 2;
    proj += values[i]! * Math.cos(0.1 * i + 0.3);
  }
  return { norm: Math.sqrt(squares), proj };
}

export const readJson = <T>(...parts: string[]): T =>
  JSON.parse(readFileSync(path.join(...parts), "utf8")) as T;

/** Compares tensors with their summaries: norm to `norm` relative, projection to `proj` of the norm. */
export async function expectSummaries(
  tensors: Record<string, Tensor>,
  expected: Record<string, Summary>,
  { norm = 1e-4, proj = 1e-4 } = {},
): Promise<void> {
  const largest = Math.max(...Object.values(expected).map((s) => s.norm));
  for (const [name, want] of Object.entries(expected)) {
    const tensor = tensors[name];
    expect(tensor, name).toBeDefined();
    const got = summarize(await tensor!.data());
    if (want.norm < 1e-10 * largest) {
      expect(got.norm, `norm of ${name}`).toBeLessThan(1e-7 * largest);
      continue;
    }
    expect(Math.abs(got.norm - want.norm) / want.norm, `norm of ${name}`).toBeLessThan(norm);
    expect(Math.abs(got.proj - want.proj) / want.norm, `projection of ${name}`).toBeLessThan(proj);
  }
}

/** The norm of all gradients together, to 1e-4 relative. */
export async function expectTotalNorm(grads: Record<string, Tensor>, want: number): Promise<void> {
  const norms = await Promise.all(Object.values(grads).map(async (g) => summarize(await g.data()).norm));
  expect(Math.abs(Math.hypot(...norms) / want - 1), "norm of all gradients").toBeLessThan(1e-4);
}

export function expectClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  expect(got.length, what).toBe(want.length);
  let worst = 0;
  for (let i = 0; i < want.length; i++) worst = Math.max(worst, Math.abs(got[i]! - want[i]!));
  expect(worst, what).toBeLessThan(tolerance);
}

/** Losses: 1e-5 absolute or relative, whichever is larger. */
export function expectLoss(got: number, want: number, what: string, tolerance = 1e-5): void {
  expect(Math.abs(got - want) / Math.max(1, Math.abs(want)), what).toBeLessThan(tolerance);
}
