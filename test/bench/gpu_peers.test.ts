import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { contest, type Row } from "../../bench/gpu/contest.ts";
import { figures } from "../../bench/gpu/figures.ts";
import { casesOf, comparePeers } from "../../bench/gpu/peers.ts";
import { race } from "../../bench/gpu/race.ts";
import { real, tiny } from "../../bench/gpu/shapes.ts";
import { figureLines, head, rowLine } from "../../bench/gpu/table.ts";
import { forwardDuel, inPython } from "../../bench/peers/peer_case.ts";
import { Python } from "../../bench/peers/python.ts";
import { linear } from "../../lib/ops/linear.ts";
import { tempDir } from "../support/temp_dir.ts";
import { testDevice } from "../support/test_device.ts";

const interpreter = process.env.MIXWRIGHT_PEERS_PYTHON ?? "python3";
const asked = spawnSync(interpreter, ["-c", "import torch, transformers, peft"], { encoding: "utf8" });
const absent = asked.status === 0 ? "" : `${interpreter} has no torch, transformers and peft`;

test("sides take turns after their warm-ups; median, best and all rounds are kept", async () => {
  const calls: string[] = [];
  const side = (name: string, seconds: number) => ({
    name,
    time: async (count: number) => {
      calls.push(`${name}${count}`);
      return { seconds: seconds + calls.length, cpuSeconds: 0 };
    },
  });
  const [a] = await race([side("a", 0), side("b", 0)], { warmups: 5, rounds: 3, sampleSeconds: 0 });
  expect(calls).toEqual(["a1", "a4", "b1", "b4", "a1", "b1", "a1", "b1", "a1", "b1"]);
  expect(a).toEqual({ median: 7, best: 5, rounds: [5, 7, 9] });
});

const row: Row = {
  figure: "G1",
  title: "x · wᵀ",
  dtype: "bf16",
  peer: "cuBLAS",
  value: 0.9,
  ours: { median: 2e-3, best: 1e-3, rounds: [] },
  floor: 1e-3,
  errors: { ours: 0.001 },
  note: "",
  failed: false,
};

test("a row says times, ratio, gate, part of the roofline and error; a figure takes its worst row", () => {
  expect(rowLine(row)).toBe(
    "| G1 | x · wᵀ | bf16 | cuBLAS | 2 (1) |  | **0.9** | ≥ 0.85 ✓ | 50 |  | 1.0e-3 |  |  |",
  );
  const cells = (line: string): number => line.split("|").length;
  expect(head.map(cells)).toEqual([cells(rowLine(row)), cells(rowLine(row))]);
  const [, , first, second] = figureLines([row, { ...row, value: 0.5 }]);
  expect(first).toBe("| G1 | dense bf16 product, cuBLAS | 0.5 | ≥ 0.85, **fails** | ≥ 0.95, **fails** |");
  expect(second).toContain("| not measured | ≥ 1 |");
});

test("every figure has a case at the sizes of a GPU, and warm-ups and rounds are as many as the rules ask for", () => {
  const counted = casesOf(real).flatMap((one) =>
    "make" in one ? Object.values(one.figures) : one.figure === "G5" ? ["G5.kept", "G5.peak"] : one.figure,
  );
  expect(figures.map(({ id }) => id).filter((id) => !counted.includes(id))).toEqual([]);
  expect(real.effort).toMatchObject({ warmups: 5, rounds: 15 });
});

test("without a peer our side is timed, and said to be unchecked", async () => {
  const [one] = casesOf(tiny);
  const ceilings = { copy: 1e9, fma: 1e9, tensor: 0 };
  const arena = { peer: undefined, device: testDevice, folder: tempDir(), effort: tiny.effort, ceilings };
  const [alone] = await contest(one!, arena);
  expect(alone).toMatchObject({ figure: "G1", note: "no peer, not checked here", failed: false });
  expect(alone!.value).toBeUndefined();
  expect(alone!.ours!.rounds.length).toBe(tiny.effort.rounds);
  expect(ceilings.tensor).toBeGreaterThan(0);
});

test("at small sizes, PyTorch on the CPU: every figure gets a number, and every result is near to float64", {
  timeout: 600_000,
}, async ({ skip }) => {
  if (absent) skip(absent);
  const [printed, kept]: [string[], object[]] = [[], []];
  const rows = await comparePeers({
    ...{ shapes: tiny, device: testDevice, peerDevice: "cpu", interpreter, scratch: tempDir() },
    ...{ limitMs: 600_000, print: (...lines) => printed.push(...lines), keep: (entry) => kept.push(entry) },
  });
  expect(rows.filter(({ failed }) => failed)).toEqual([]);
  const counted = new Set(rows.filter(({ value }) => value! > 0).map(({ figure }) => figure));
  const missing = figures.map(({ id }) => id).filter((id) => !counted.has(id));
  expect(missing.filter((id) => !id.endsWith(".liger"))).toEqual([]);
  for (const { figure, errors, note } of rows) {
    if (/^G([34]|6|7|9|10|11)$/.test(figure.split(".")[0]!)) expect(errors.ours, note).toBeLessThan(0.02);
  }
  expect(printed.filter((line) => line.startsWith("| G"))).toHaveLength(rows.length + figures.length);
  expect(kept).toHaveLength(rows.length + 1);
  expect((kept.at(-1) as Row).ours!.rounds.length).toBe(tiny.effort.rounds);
});

test("a wrong result of ours is found, and is no ratio", { timeout: 120_000 }, async ({ skip }) => {
  if (absent) skip(absent);
  const peer = new Python(interpreter, {});
  try {
    const [wrong] = await contest(
      {
        ...{ title: "a product with another weight", dtype: "bf16", costs: [] },
        figures: { cuBLAS: "G1" },
        make: (o) => {
          const inputs = { x: o.normal([32, 32]), weight: o.normal([32, 32]) };
          const spoilt = o.normal([32, 32]);
          const peers = inPython("matmul", { cuBLAS: {} });
          return { ...forwardDuel(() => linear(inputs.x, spoilt), { inputs, peers }), exact: {} };
        },
      },
      {
        ...{ peer, device: testDevice, folder: tempDir(), effort: tiny.effort },
        ceilings: { copy: 1, fma: 1, tensor: 1 },
      },
    );
    expect(wrong).toMatchObject({ failed: true, note: expect.stringMatching(/^OURS IS WRONG, by 1\./) });
    expect(wrong!.value).toBeUndefined();
  } finally {
    await peer.end();
  }
});
